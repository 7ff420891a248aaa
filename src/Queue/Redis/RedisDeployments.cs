using Google.Protobuf;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Ndif.Protocol;
using Ndif.Queue.Rules;
using Ndif.Queue.Wakeups;
using StackExchange.Redis;

namespace Ndif.Queue.Redis;

/// <summary>The deployments of a cluster. Redis keeps deployments until they are removed; claims and orders expire.</summary>
public sealed class RedisDeployments : IDeployments, IDisposable
{
    private const string DeploymentsChannel = "deployed", OrdersChannel = "orders", WorkChannel = "work", AllWorkers = "*";
    private static readonly TimeSpan _orderLifetime = TimeSpan.FromHours(1);

    private readonly QueueOptions _options;
    private readonly RedisKeys _keys;
    private readonly RedisCommandExecutor _commands;
    private readonly RedisWakeupHub _wakeups;
    private readonly IConnectionMultiplexer _connection;
    private readonly TimeProvider _time;

    public RedisDeployments(
        IConnectionMultiplexer connection, QueueOptions? options = null, TimeProvider? time = null,
        ILogger<RedisDeployments>? logger = null)
    {
        _options = (options ?? new QueueOptions()).Validate();
        (_connection, _time) = (connection, time ?? TimeProvider.System);
        _keys = new RedisKeys(_options.Prefix);
        _commands = new RedisCommandExecutor(connection, _keys);
        _wakeups = new RedisWakeupHub(connection, _keys, logger ?? NullLogger<RedisDeployments>.Instance);
    }

    /// <inheritdoc/>
    public async Task<Deployment> SetAsync(Deployment deployment, CancellationToken cancellationToken = default)
    {
        cancellationToken.ThrowIfCancellationRequested();
        Deployment copy = DeploymentRules.ValidateAndCopy(deployment, _time.GetUtcNow());
        await _commands.ExecuteAsync("deploy", database => database.HashSetAsync(_keys.Deployments, copy.GetName(), copy.ToByteArray()));
        await NotifyAsync(DeploymentsChannel, AllWorkers);
        return copy;
    }

    /// <inheritdoc/>
    public async Task<bool> RemoveAsync(string name, CancellationToken cancellationToken = default)
    {
        cancellationToken.ThrowIfCancellationRequested();
        bool removed = await _commands.ExecuteAsync("evict", database => database.HashDeleteAsync(_keys.Deployments, name));
        await NotifyAsync(DeploymentsChannel, AllWorkers);
        return removed;
    }

    /// <inheritdoc/>
    public async Task<IReadOnlyList<Deployment>> ListAsync(CancellationToken cancellationToken = default)
    {
        cancellationToken.ThrowIfCancellationRequested();
        HashEntry[] all = await _commands.ExecuteAsync("deployments", database => database.HashGetAllAsync(_keys.Deployments));
        return [.. all.OrderBy(e => (string)e.Name!, StringComparer.Ordinal).Select(e => Deployment.Parser.ParseFrom((byte[])e.Value!))];
    }

    /// <inheritdoc/>
    public async Task<bool> ClaimReplicaAsync(
        string name, string worker, int maxReplicas, DateTimeOffset lastUsed, CancellationToken cancellationToken = default)
    {
        cancellationToken.ThrowIfCancellationRequested();
        RedisResult isHeld = await _commands.ExecuteScriptAsync(
            RedisScript.ClaimReplica, name, worker, maxReplicas, lastUsed.ToUnixTimeMilliseconds(),
            (long)_options.HeartbeatLifetime.TotalMilliseconds);
        return (int)isHeld == 1;
    }

    /// <inheritdoc/>
    public async Task ReleaseReplicaAsync(string name, string worker, CancellationToken cancellationToken = default)
    {
        cancellationToken.ThrowIfCancellationRequested();
        if (await _commands.ExecuteAsync("let go", database => database.HashDeleteAsync(_keys.Holders(name), worker)))
            await NotifyAsync(DeploymentsChannel, AllWorkers);
    }

    /// <inheritdoc/>
    public async Task SendOrderAsync(string worker, WorkerOrder order, CancellationToken cancellationToken = default)
    {
        cancellationToken.ThrowIfCancellationRequested();
        await _commands.ExecuteScriptAsync(
            RedisScript.SendOrder, worker, order.ToByteArray(), (long)_orderLifetime.TotalMilliseconds);
    }

    /// <inheritdoc/>
    public async Task<IReadOnlyList<WorkerOrder>> DequeueOrdersAsync(string worker, CancellationToken cancellationToken = default)
    {
        cancellationToken.ThrowIfCancellationRequested();
        var orders = (RedisResult[])(await _commands.ExecuteScriptAsync(RedisScript.DequeueOrders, worker))!;
        return [.. orders.Select(order => WorkerOrder.Parser.ParseFrom((byte[])order!))];
    }

    /// <inheritdoc/>
    public async Task<IChangeSubscription> SubscribeAsync(
        string worker, IReadOnlyCollection<string> models, CancellationToken cancellationToken = default)
    {
        List<WakeupSubscription> wakeups = [];
        try
        {
            wakeups.Add(await _wakeups.SubscribeAsync(DeploymentsChannel, AllWorkers));
            wakeups.Add(await _wakeups.SubscribeAsync(OrdersChannel, worker));
            if (models.Count > 0) wakeups.Add(await _wakeups.SubscribeAsync(WorkChannel, models));
            return new WakeupChangeSubscription(wakeups[0], _time, wakeups[1..]);
        }
        catch
        {
            foreach (WakeupSubscription wakeup in wakeups) wakeup.Dispose();
            throw;
        }
    }

    public void Dispose() => _wakeups.Dispose();

    /// <summary>Wakes workers. A lost message delays them by at most one heartbeat interval, because they poll as well.</summary>
    private Task<long> NotifyAsync(string channel, string recipient) =>
        _connection.GetSubscriber().PublishAsync(_keys.Channel(channel), recipient, CommandFlags.FireAndForget);
}
