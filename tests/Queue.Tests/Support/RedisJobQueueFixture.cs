using Ndif.Queue.Redis;
using StackExchange.Redis;

namespace Ndif.Queue.Tests.Support;

/// <summary>A queue on Redis with its own prefix. It moves deadlines, because the clock of the server cannot be moved.</summary>
public sealed class RedisJobQueueFixture : JobQueueFixture
{
    private const string ShiftDeadlinesScript = """
        local time = redis.call('TIME')
        local names = { 'leased', 'ended' }
        for _, key in ipairs(redis.call('KEYS', KEYS[1] .. 'recent:*')) do names[#names + 1] = string.sub(key, #KEYS[1] + 1) end
        for _, name in ipairs(names) do
          local members = redis.call('ZRANGE', KEYS[1] .. name, 0, -1, 'WITHSCORES')
          for i = 1, #members, 2 do
            local at = members[i + 1] - ARGV[1]
            if name == 'leased' and at < time[1] * 1000 then at = 0 end -- all at once, as where the clock stands still
            redis.call('ZADD', KEYS[1] .. name, at, members[i])
          end
        end
        """;

    private readonly RedisServer _server;

    public RedisJobQueueFixture(RedisServer server, QueueOptions? options = null)
    {
        this._server = server;
        Options = (options ?? new QueueOptions()) with { Prefix = $"ndif:test-{Guid.NewGuid():n}:" };
        Queue = new RedisJobQueue(server.ServiceConnection, Options);
    }

    public QueueOptions Options { get; }

    public override IJobQueue Queue { get; }

    public IDatabase Database => _server.OperatorConnection.GetDatabase();

    public override async Task AdvanceAsync(TimeSpan by) =>
        await Database.ScriptEvaluateAsync(ShiftDeadlinesScript, [Options.Prefix], [(long)by.TotalMilliseconds]);

    public override IJobQueue OpenAnother() => new RedisJobQueue(_server.ServiceConnection, Options);

    public override ValueTask DisposeAsync() => Queue.DisposeAsync();
}
