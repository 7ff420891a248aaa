using Ndif.Protocol;

namespace Ndif.Queue;

/// <summary>
/// What operators want served, which workers hold what, and what an operator tells one worker. Workers read it and see to it
/// themselves; nobody directs them. Two implementations pass one contract test (tests/Queue.Tests/DeploymentsContract.cs).
/// </summary>
public interface IDeployments
{
    /// <summary>Wants a model from now on, or wants it otherwise. Times are set here.</summary>
    /// <returns>As it is kept.</returns>
    /// <exception cref="NdifException">BAD_ARGUMENT: a name with blanks, no replica.</exception>
    Task<Deployment> SetAsync(Deployment deployment, CancellationToken cancellationToken = default);

    /// <summary>Wants a model no more. False if nobody did.</summary>
    Task<bool> RemoveAsync(string name, CancellationToken cancellationToken = default);

    /// <summary>All that is wanted, by name.</summary>
    Task<IReadOnlyList<Deployment>> ListAsync(CancellationToken cancellationToken = default);

    /// <summary>
    /// Asks for, or keeps, a worker's right to hold a model: at most <paramref name="maxReplicas"/> have it at a time, so that of the workers
    /// which see a job wait only as many load as are wanted. Of too many, as after scaling down, the least recently used lose it. It
    /// lasts as long as a heartbeat and must be asked for again meanwhile: a dead worker's goes to another.
    /// </summary>
    /// <param name="name">Of the deployment: "id" or "id@revision".</param>
    /// <param name="lastUsed">When it last ran a job of the model; the far future for a model that it was started with.</param>
    Task<bool> ClaimReplicaAsync(string name, string worker, int maxReplicas, DateTimeOffset lastUsed, CancellationToken cancellationToken = default);

    /// <summary>Gives that right back.</summary>
    Task ReleaseReplicaAsync(string name, string worker, CancellationToken cancellationToken = default);

    /// <summary>Tells a worker something. It is kept until the worker takes it, but not longer than an hour.</summary>
    Task SendOrderAsync(string worker, WorkerOrder order, CancellationToken cancellationToken = default);

    /// <summary>What a worker was told since it last asked, in order.</summary>
    Task<IReadOnlyList<WorkerOrder>> DequeueOrdersAsync(string worker, CancellationToken cancellationToken = default);

    /// <summary>
    /// Begins to listen for what concerns a worker: a change of what is wanted, an order, a job of any of these models. Listen first and
    /// look then; dispose it at the end.
    /// </summary>
    Task<IChangeSubscription> SubscribeAsync(string worker, IReadOnlyCollection<string> models, CancellationToken cancellationToken = default);
}

/// <summary>Wakes one who waits.</summary>
public interface IChangeSubscription : IDisposable
{
    /// <summary>Returns when something has happened since it was listened or last waited for, or when the time is up.</summary>
    Task WaitAsync(TimeSpan timeout, CancellationToken cancellationToken = default);
}
