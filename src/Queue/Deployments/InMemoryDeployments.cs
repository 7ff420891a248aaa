using Ndif.Protocol;

namespace Ndif.Queue;

/// <summary>The deployments of a service that is one process.</summary>
public sealed class InMemoryDeployments : IDeployments
{
    private readonly QueueOptions _options;
    private readonly TimeProvider _time;
    private readonly Bells _bells;
    private readonly Lock _gate = new();
    private readonly SortedDictionary<string, Deployment> _wanted = new(StringComparer.Ordinal);
    private readonly Dictionary<string, Holders> _holders = [];
    private readonly Dictionary<string, List<WorkerOrder>> _orders = [];

    /// <param name="jobs">Whose jobs wake the workers.</param>
    public InMemoryDeployments(InMemoryJobQueue jobs, QueueOptions? options = null, TimeProvider? time = null)
    {
        _options = (options ?? new QueueOptions()).Validate();
        _time = time ?? TimeProvider.System;
        _bells = jobs.Bells;
    }

    /// <inheritdoc/>
    public Task<Deployment> SetAsync(Deployment deployment, CancellationToken cancellationToken = default)
    {
        Deployment kept = DeploymentRules.Checked(deployment, _time.GetUtcNow());
        lock (_gate) _wanted[DeploymentRules.NameOf(kept)] = kept;
        _bells.Ring(Changes);
        return Task.FromResult(kept.Clone());
    }

    /// <inheritdoc/>
    public Task<bool> RemoveAsync(string name, CancellationToken cancellationToken = default)
    {
        bool removed;
        lock (_gate) removed = _wanted.Remove(name);
        _bells.Ring(Changes);
        return Task.FromResult(removed);
    }

    /// <inheritdoc/>
    public Task<IReadOnlyList<Deployment>> ListAsync(CancellationToken cancellationToken = default)
    {
        lock (_gate) return Task.FromResult<IReadOnlyList<Deployment>>([.. _wanted.Values.Select(d => d.Clone())]);
    }

    /// <inheritdoc/>
    public Task<bool> HoldAsync(string name, string worker, int most, DateTimeOffset lastUsed, CancellationToken cancellationToken = default)
    {
        lock (_gate)
        {
            if (!_holders.TryGetValue(name, out Holders? holders)) _holders[name] = holders = new Holders();
            return Task.FromResult(holders.Hold(worker, most, lastUsed, _time.GetUtcNow(), _options.HeartbeatLifetime));
        }
    }

    /// <inheritdoc/>
    public Task LetGoAsync(string name, string worker, CancellationToken cancellationToken = default)
    {
        lock (_gate) _holders.GetValueOrDefault(name)?.LetGo(worker);
        _bells.Ring(Changes); // another may hold it now
        return Task.CompletedTask;
    }

    /// <inheritdoc/>
    public Task OrderAsync(string worker, WorkerOrder order, CancellationToken cancellationToken = default)
    {
        lock (_gate)
        {
            if (!_orders.TryGetValue(worker, out List<WorkerOrder>? orders)) _orders[worker] = orders = [];
            orders.Add(order.Clone());
        }
        _bells.Ring(OrdersTo(worker));
        return Task.CompletedTask;
    }

    /// <inheritdoc/>
    public Task<IReadOnlyList<WorkerOrder>> TakeOrdersAsync(string worker, CancellationToken cancellationToken = default)
    {
        lock (_gate) return Task.FromResult<IReadOnlyList<WorkerOrder>>(_orders.Remove(worker, out List<WorkerOrder>? orders) ? orders : []);
    }

    /// <inheritdoc/>
    public Task<INews> ListenAsync(string worker, IReadOnlyCollection<string> models, CancellationToken cancellationToken = default) =>
        Task.FromResult<INews>(new BellNews(_bells.Listen([Changes, OrdersTo(worker), .. models.Select(MemoryJobs.WorkFor)]), _time));

    private const string Changes = "deployed";

    private static string OrdersTo(string worker) => $"orders {worker}";
}

/// <summary>A bell as others may see it.</summary>
internal sealed class BellNews(Bell bell, TimeProvider time, params IReadOnlyList<Bell> more) : INews
{
    /// <inheritdoc/>
    public async Task WaitAsync(TimeSpan longest, CancellationToken cancellationToken = default)
    {
        if (more.Count == 0)
        {
            await bell.WaitAsync(longest, time, cancellationToken);
            return;
        }
        using var one = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        Task[] waits = [bell.WaitAsync(longest, time, one.Token), .. more.Select(m => m.WaitAsync(longest, time, one.Token))];
        await Task.WhenAny(waits);
        await one.CancelAsync();
        await Task.WhenAll(waits).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        cancellationToken.ThrowIfCancellationRequested();
    }

    public void Dispose()
    {
        bell.Dispose();
        foreach (Bell one in more) one.Dispose();
    }
}
