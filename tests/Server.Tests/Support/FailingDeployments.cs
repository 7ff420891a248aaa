using Ndif.Protocol;
using Ndif.Queue;

namespace Ndif.Server.Tests.Support;

/// <summary>Deployments that cannot be read: every call throws the same exception.</summary>
internal sealed class FailingDeployments(Exception failure) : IDeployments
{
    public Task<Deployment> SetAsync(Deployment deployment, CancellationToken cancellationToken = default) => throw failure;

    public Task<bool> RemoveAsync(string name, CancellationToken cancellationToken = default) => throw failure;

    public Task<IReadOnlyList<Deployment>> ListAsync(CancellationToken cancellationToken = default) => throw failure;

    public Task<bool> ClaimReplicaAsync(string name, string worker, int maxReplicas, DateTimeOffset lastUsed,
        CancellationToken cancellationToken = default) =>
        throw failure;

    public Task ReleaseReplicaAsync(string name, string worker, CancellationToken cancellationToken = default) => throw failure;

    public Task SendOrderAsync(string worker, WorkerOrder order, CancellationToken cancellationToken = default) => throw failure;

    public Task<IReadOnlyList<WorkerOrder>> DequeueOrdersAsync(string worker, CancellationToken cancellationToken = default) =>
        throw failure;

    public Task<IChangeSubscription> SubscribeAsync(string worker, IReadOnlyCollection<string> models,
        CancellationToken cancellationToken = default) =>
        throw failure;
}
