using StackExchange.Redis;

namespace Ndif.Queue.Tests;

/// <summary>A queue on the tests' Redis under a prefix of its own. Its deadlines are moved, since the server's clock cannot be.</summary>
public sealed class RedisRig : QueueRig
{
    private const string Shift = """
        for _, name in ipairs({ 'leased', 'ended' }) do
          local members = redis.call('ZRANGE', KEYS[1] .. name, 0, -1)
          for _, member in ipairs(members) do redis.call('ZINCRBY', KEYS[1] .. name, -ARGV[1], member) end
        end
        """;

    private readonly RedisServer server;

    public RedisRig(RedisServer server, QueueOptions? options = null)
    {
        this.server = server;
        Options = (options ?? new QueueOptions()) with { Prefix = $"test-{Guid.NewGuid():n}:" };
        Queue = new RedisJobQueue(server.Connection, Options);
    }

    public QueueOptions Options { get; }

    public override IJobQueue Queue { get; }

    public IDatabase Database => server.Connection.GetDatabase();

    public override async Task AdvanceAsync(TimeSpan by) =>
        await Database.ScriptEvaluateAsync(Shift, [Options.Prefix], [(long)by.TotalMilliseconds]);

    public override ValueTask DisposeAsync() => Queue.DisposeAsync();
}
