using Ndif.Protocol;
using Ndif.Remote;

namespace Ndif;

/// <summary>
/// The models that a service deploys. For operators, whose keys have the scope `operator` or `admin`; every key can list them. Workers
/// apply a change after the call has returned; <see cref="Status.GetAsync"/> shows their progress.
/// </summary>
public static class Deployments
{
    /// <summary>All deployments by name.</summary>
    public static Task<IReadOnlyList<Deployment>> ListAsync(Backend? remote = null, CancellationToken cancellationToken = default) =>
        RemoteService.For(remote).DeploymentsAsync(cancellationToken);

    /// <summary>Deploys a model, or replaces all settings of its deployment.</summary>
    /// <param name="model">An id on the hub, or a folder that the workers have.</param>
    /// <param name="revision">A branch, tag or commit; empty for the default branch.</param>
    /// <param name="pinned">Whether the model stays loaded without waiting jobs, and is never evicted for another one.</param>
    /// <param name="replicas">The number of workers that may load it, at least 1.</param>
    /// <param name="dtype">The element type of its weights; null for the default of the workers.</param>
    /// <exception cref="NdifException">BAD_ARGUMENT.</exception>
    /// <exception cref="AccessException">The key has neither scope.</exception>
    public static Task<ModelStatus> SetAsync(
        string model, string revision = "", bool pinned = false, int replicas = 1, DType? dtype = null,
        Backend? remote = null, CancellationToken cancellationToken = default)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(replicas);
        var request = new DeployRequest
        {
            Model = model, Revision = revision, Pinned = pinned, Replicas = (uint)replicas, Dtype = (DataType)(dtype ?? 0),
        };
        return RemoteService.For(remote).DeployAsync(request, cancellationToken);
    }

    /// <summary>
    /// Removes a model from the service: it is no longer deployed, running jobs finish, and waiting jobs fail. Or evicts it from one
    /// worker, which may load it again.
    /// </summary>
    /// <param name="worker">The worker; null for all.</param>
    /// <exception cref="NdifException">UNKNOWN_MODEL: it is not deployed. BAD_ARGUMENT: there is no such worker.</exception>
    /// <exception cref="AccessException">The key has neither scope.</exception>
    public static Task<ModelStatus> EvictAsync(
        string model, string revision = "", string? worker = null, Backend? remote = null, CancellationToken cancellationToken = default) =>
        RemoteService.For(remote).EvictAsync(
            new EvictRequest { Model = model, Revision = revision, Worker = worker ?? "" }, cancellationToken);

    /// <summary>Drains a worker: it accepts no new jobs and stops when its jobs have ended. Its models go to other workers.</summary>
    /// <exception cref="NdifException">BAD_ARGUMENT: there is no such worker.</exception>
    /// <exception cref="AccessException">The key has neither scope.</exception>
    public static Task<WorkerStatus> DrainAsync(string worker, Backend? remote = null, CancellationToken cancellationToken = default) =>
        RemoteService.For(remote).DrainAsync(worker, cancellationToken);
}
