using Google.Protobuf;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Ndif.Protocol;
using StackExchange.Redis;

namespace Ndif.Queue;

/// <summary>The deployments of a cluster: what is wanted stays in Redis until it is wanted no more; who holds it runs out.</summary>
public sealed class RedisDeployments : IDeployments, IDisposable
{
    private const string Deployed = "deployed", Orders = "orders", Work = "work", Anyone = "*";
    private static readonly TimeSpan s_patience = TimeSpan.FromHours(1); // of an order

    private readonly QueueOptions _options;
    private readonly RedisKeys _keys;
    private readonly RedisCalls _calls;
    private readonly RedisBells _bells;
    private readonly IConnectionMultiplexer _connection;
    private readonly TimeProvider _time;

    public RedisDeployments(IConnectionMultiplexer connection, QueueOptions? options = null, TimeProvider? time = null, ILogger<RedisDeployments>? logger = null)
    {
        _options = (options ?? new QueueOptions()).Validate();
        (_connection, _time) = (connection, time ?? TimeProvider.System);
        _keys = new RedisKeys(_options.Prefix);
        _calls = new RedisCalls(connection, _keys);
        _bells = new RedisBells(connection, _keys, logger ?? NullLogger<RedisDeployments>.Instance);
    }

    /// <inheritdoc/>
    public async Task<Deployment> SetAsync(Deployment deployment, CancellationToken cancellationToken = default)
    {
        cancellationToken.ThrowIfCancellationRequested();
        Deployment kept = DeploymentRules.Checked(deployment, _time.GetUtcNow());
        await _calls.CallAsync("deploy", database => database.HashSetAsync(_keys.Deployments, DeploymentRules.NameOf(kept), kept.ToByteArray()));
        await TellAsync(Deployed, Anyone);
        return kept;
    }

    /// <inheritdoc/>
    public async Task<bool> RemoveAsync(string name, CancellationToken cancellationToken = default)
    {
        cancellationToken.ThrowIfCancellationRequested();
        bool removed = await _calls.CallAsync("evict", database => database.HashDeleteAsync(_keys.Deployments, name));
        await TellAsync(Deployed, Anyone);
        return removed;
    }

    /// <inheritdoc/>
    public async Task<IReadOnlyList<Deployment>> ListAsync(CancellationToken cancellationToken = default)
    {
        cancellationToken.ThrowIfCancellationRequested();
        HashEntry[] all = await _calls.CallAsync("deployments", database => database.HashGetAllAsync(_keys.Deployments));
        return [.. all.OrderBy(e => (string)e.Name!, StringComparer.Ordinal).Select(e => Deployment.Parser.ParseFrom((byte[])e.Value!))];
    }

    /// <inheritdoc/>
    public async Task<bool> HoldAsync(string name, string worker, int most, DateTimeOffset lastUsed, CancellationToken cancellationToken = default)
    {
        cancellationToken.ThrowIfCancellationRequested();
        return (int)await _calls.RunAsync(RedisScript.Hold, name, worker, most, lastUsed.ToUnixTimeMilliseconds(), (long)_options.HeartbeatLifetime.TotalMilliseconds) == 1;
    }

    /// <inheritdoc/>
    public async Task LetGoAsync(string name, string worker, CancellationToken cancellationToken = default)
    {
        cancellationToken.ThrowIfCancellationRequested();
        if (await _calls.CallAsync("let go", database => database.HashDeleteAsync(_keys.Holders(name), worker))) await TellAsync(Deployed, Anyone);
    }

    /// <inheritdoc/>
    public async Task OrderAsync(string worker, WorkerOrder order, CancellationToken cancellationToken = default)
    {
        cancellationToken.ThrowIfCancellationRequested();
        await _calls.CallAsync("order", database => database.ListRightPushAsync(_keys.Orders(worker), order.ToByteArray())); // done twice, it asks twice
        await _calls.CallAsync("order", database => database.KeyExpireAsync(_keys.Orders(worker), s_patience));
        await TellAsync(Orders, worker);
    }

    /// <inheritdoc/>
    public async Task<IReadOnlyList<WorkerOrder>> TakeOrdersAsync(string worker, CancellationToken cancellationToken = default)
    {
        cancellationToken.ThrowIfCancellationRequested();
        var orders = (RedisResult[])(await _calls.RunAsync(RedisScript.Orders, worker))!;
        return [.. orders.Select(order => WorkerOrder.Parser.ParseFrom((byte[])order!))];
    }

    /// <inheritdoc/>
    public async Task<INews> ListenAsync(string worker, IReadOnlyCollection<string> models, CancellationToken cancellationToken = default)
    {
        List<Bell> bells = [];
        try
        {
            bells.Add(await _bells.ListenAsync(Deployed, Anyone));
            bells.Add(await _bells.ListenAsync(Orders, worker));
            if (models.Count > 0) bells.Add(await _bells.ListenAsync(Work, models));
            return new BellNews(bells[0], _time, bells[1..]);
        }
        catch
        {
            foreach (Bell bell in bells) bell.Dispose();
            throw;
        }
    }

    public void Dispose() => _bells.Dispose();

    /// <summary>A wake-up that is lost costs a heartbeat, and no more: workers look anyway.</summary>
    private Task<long> TellAsync(string channel, string whom) =>
        _connection.GetSubscriber().PublishAsync(_keys.Channel(channel), whom, CommandFlags.FireAndForget);
}
