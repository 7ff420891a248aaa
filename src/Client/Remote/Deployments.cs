using Ndif.Protocol;
using Ndif.Remote;

namespace Ndif;

/// <summary>
/// What a service is to hold: for operators, whose keys have the scope `operator` or `admin`; any key may list. Workers see to it after
/// the call has answered: <see cref="Status.GetAsync"/> shows how far they are.
/// </summary>
public static class Deployments
{
    /// <summary>All that is deployed, by name.</summary>
    public static Task<IReadOnlyList<Deployment>> ListAsync(Backend? remote = null, CancellationToken cancellationToken = default) =>
        RemoteService.For(remote).DeploymentsAsync(cancellationToken);

    /// <summary>Wants a model from now on, or wants it otherwise: all that is said replaces what was.</summary>
    /// <param name="model">Id on the hub, or a folder that its workers have.</param>
    /// <param name="pinned">Held whether jobs wait or not, and never evicted for another.</param>
    /// <param name="replicas">Workers that may hold it on their devices.</param>
    /// <param name="dtype">Null for what its workers load in.</param>
    /// <exception cref="NdifException">BAD_ARGUMENT.</exception>
    /// <exception cref="AccessException">The key has neither scope.</exception>
    public static Task<ModelStatus> SetAsync(string model, string revision = "", bool pinned = false, int replicas = 1, DType? dtype = null,
        Backend? remote = null, CancellationToken cancellationToken = default)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(replicas);
        return RemoteService.For(remote).DeployAsync(
            new DeployRequest { Model = model, Revision = revision, Pinned = pinned, Replicas = (uint)replicas, Dtype = (DataType)(dtype ?? 0) }, cancellationToken);
    }

    /// <summary>
    /// Takes a model off the service: it is deployed no more, jobs that run end, jobs that wait for it fail. Or off one worker: it may come
    /// back there, or go to another.
    /// </summary>
    /// <param name="worker">Null for all.</param>
    /// <exception cref="NdifException">UNKNOWN_MODEL if it is not there; BAD_ARGUMENT if there is no such worker.</exception>
    /// <exception cref="AccessException">The key has neither scope.</exception>
    public static Task<ModelStatus> EvictAsync(string model, string revision = "", string? worker = null, Backend? remote = null, CancellationToken cancellationToken = default) =>
        RemoteService.For(remote).EvictAsync(new EvictRequest { Model = model, Revision = revision, Worker = worker ?? "" }, cancellationToken);

    /// <summary>Has a worker take nothing new, and leave when what it runs has ended; what it held goes to others.</summary>
    /// <exception cref="NdifException">BAD_ARGUMENT if there is no such worker.</exception>
    /// <exception cref="AccessException">The key has neither scope.</exception>
    public static Task<WorkerStatus> DrainAsync(string worker, Backend? remote = null, CancellationToken cancellationToken = default) =>
        RemoteService.For(remote).DrainAsync(worker, cancellationToken);
}
