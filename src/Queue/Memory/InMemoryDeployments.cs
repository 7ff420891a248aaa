using Ndif.Protocol;
using Ndif.Queue.Rules;
using Ndif.Queue.Wakeups;

namespace Ndif.Queue.Memory;

/// <summary>The deployments of a service that runs in a single process.</summary>
public sealed class InMemoryDeployments : IDeployments
{
    private const string ChangesKey = "deployed";

    private readonly QueueOptions _options;
    private readonly TimeProvider _time;
    private readonly WakeupHub _wakeups;
    private readonly Lock _lock = new();
    private readonly SortedDictionary<string, Deployment> _deployments = new(StringComparer.Ordinal);
    private readonly Dictionary<string, ReplicaClaims> _claims = [];
    private readonly Dictionary<string, List<WorkerOrder>> _orders = [];

    /// <param name="jobs">The queue whose new jobs wake the workers.</param>
    public InMemoryDeployments(InMemoryJobQueue jobs, QueueOptions? options = null, TimeProvider? time = null)
    {
        _options = (options ?? new QueueOptions()).Validate();
        _time = time ?? TimeProvider.System;
        _wakeups = jobs.Wakeups;
    }

    /// <inheritdoc/>
    public Task<Deployment> SetAsync(Deployment deployment, CancellationToken cancellationToken = default)
    {
        Deployment copy = DeploymentRules.ValidateAndCopy(deployment, _time.GetUtcNow());
        lock (_lock) _deployments[copy.GetName()] = copy;
        _wakeups.Notify(ChangesKey);
        return Task.FromResult(copy.Clone());
    }

    /// <inheritdoc/>
    public Task<bool> RemoveAsync(string name, CancellationToken cancellationToken = default)
    {
        bool removed;
        lock (_lock) removed = _deployments.Remove(name);
        _wakeups.Notify(ChangesKey);
        return Task.FromResult(removed);
    }

    /// <inheritdoc/>
    public Task<IReadOnlyList<Deployment>> ListAsync(CancellationToken cancellationToken = default)
    {
        lock (_lock) return Task.FromResult<IReadOnlyList<Deployment>>([.. _deployments.Values.Select(d => d.Clone())]);
    }

    /// <inheritdoc/>
    public Task<bool> ClaimReplicaAsync(
        string name, string worker, int maxReplicas, DateTimeOffset lastUsed, CancellationToken cancellationToken = default)
    {
        lock (_lock)
        {
            if (!_claims.TryGetValue(name, out ReplicaClaims? claims)) _claims[name] = claims = new ReplicaClaims();
            return Task.FromResult(claims.TryClaim(worker, maxReplicas, lastUsed, _time.GetUtcNow(), _options.HeartbeatLifetime));
        }
    }

    /// <inheritdoc/>
    public Task ReleaseReplicaAsync(string name, string worker, CancellationToken cancellationToken = default)
    {
        lock (_lock) _claims.GetValueOrDefault(name)?.Release(worker);
        _wakeups.Notify(ChangesKey); // another worker may claim it now
        return Task.CompletedTask;
    }

    /// <inheritdoc/>
    public Task SendOrderAsync(string worker, WorkerOrder order, CancellationToken cancellationToken = default)
    {
        lock (_lock)
        {
            if (!_orders.TryGetValue(worker, out List<WorkerOrder>? orders)) _orders[worker] = orders = [];
            orders.Add(order.Clone());
        }
        _wakeups.Notify(OrdersKey(worker));
        return Task.CompletedTask;
    }

    /// <inheritdoc/>
    public Task<IReadOnlyList<WorkerOrder>> DequeueOrdersAsync(string worker, CancellationToken cancellationToken = default)
    {
        lock (_lock)
        {
            return Task.FromResult<IReadOnlyList<WorkerOrder>>(_orders.Remove(worker, out List<WorkerOrder>? orders) ? orders : []);
        }
    }

    /// <inheritdoc/>
    public Task<IChangeSubscription> SubscribeAsync(
        string worker, IReadOnlyCollection<string> models, CancellationToken cancellationToken = default)
    {
        WakeupSubscription wakeup = _wakeups.Subscribe([ChangesKey, OrdersKey(worker), .. models.Select(InMemoryJobStore.GetWorkKey)]);
        return Task.FromResult<IChangeSubscription>(new WakeupChangeSubscription(wakeup, _time));
    }

    private static string OrdersKey(string worker) => $"orders {worker}";
}
