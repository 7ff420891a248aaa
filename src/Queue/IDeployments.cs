using Ndif.Protocol;

namespace Ndif.Queue;

/// <summary>
/// The desired state of the service: which models operators want served, which workers may hold them, and the orders sent to single
/// workers. Each worker reads it and reconciles itself; no controller directs them. There are two implementations, in memory and on
/// Redis; both pass the same contract test (tests/Queue.Tests/DeploymentsContract.cs).
/// </summary>
public interface IDeployments
{
    /// <summary>Adds or replaces a deployment. The queue sets the time of the change.</summary>
    /// <returns>The deployment as it is stored.</returns>
    /// <exception cref="NdifException">BAD_ARGUMENT: the name contains whitespace, or the number of replicas is out of range.</exception>
    Task<Deployment> SetAsync(Deployment deployment, CancellationToken cancellationToken = default);

    /// <summary>Removes a deployment. Returns false if there was none of this name.</summary>
    Task<bool> RemoveAsync(string name, CancellationToken cancellationToken = default);

    /// <summary>Returns all deployments, sorted by name.</summary>
    Task<IReadOnlyList<Deployment>> ListAsync(CancellationToken cancellationToken = default);

    /// <summary>
    /// Claims the right of a worker to hold a replica of a model, or renews the claim. At most <paramref name="maxReplicas"/> workers
    /// have a claim at a time, so that a waiting job does not make every worker load its model. If there are too many claims, as after
    /// scaling down, the least recently used lose theirs. A claim lasts as long as a heartbeat and must be renewed before that; the
    /// claim of a dead worker expires and goes to another.
    /// </summary>
    /// <param name="name">The name of the deployment: "id" or "id@revision".</param>
    /// <param name="worker">The id of the worker.</param>
    /// <param name="maxReplicas">The number of replicas that are wanted.</param>
    /// <param name="lastUsed">When this worker last ran a job of the model; the far future for a preloaded model.</param>
    /// <returns>True if the worker has a claim now.</returns>
    Task<bool> ClaimReplicaAsync(
        string name, string worker, int maxReplicas, DateTimeOffset lastUsed, CancellationToken cancellationToken = default);

    /// <summary>Releases a worker's claim.</summary>
    Task ReleaseReplicaAsync(string name, string worker, CancellationToken cancellationToken = default);

    /// <summary>Sends an order to a worker. It is kept until the worker dequeues it, for at most an hour.</summary>
    Task SendOrderAsync(string worker, WorkerOrder order, CancellationToken cancellationToken = default);

    /// <summary>Returns and removes the orders that were sent to a worker, in the order in which they were sent.</summary>
    Task<IReadOnlyList<WorkerOrder>> DequeueOrdersAsync(string worker, CancellationToken cancellationToken = default);

    /// <summary>
    /// Subscribes a worker to the changes that concern it: a changed deployment, an order, a new job for one of these models. To miss
    /// nothing, subscribe first and read the state afterwards. Dispose the subscription to end it.
    /// </summary>
    Task<IChangeSubscription> SubscribeAsync(
        string worker, IReadOnlyCollection<string> models, CancellationToken cancellationToken = default);
}
