using System.Globalization;
using StackExchange.Redis;

namespace Ndif.Queue.Redis;

/// <summary>The state of a Redis server.</summary>
/// <param name="Latency">The round trip of one command.</param>
/// <param name="MaxMemory">0: Redis has no limit.</param>
/// <param name="EvictedKeys">The number since Redis started; each of them was a part of a job.</param>
public sealed record RedisReading(TimeSpan Latency, long UsedMemory, long MaxMemory, long EvictedKeys);

/// <summary>Reads the state of the Redis server of a service, for metrics.</summary>
public sealed class RedisMonitor(IConnectionMultiplexer connection)
{
    private const string InfoScript = "return redis.call('INFO', 'memory') .. redis.call('INFO', 'stats')";

    private static readonly TimeSpan _timeout = TimeSpan.FromSeconds(2);

    /// <summary>Returns the state, or null if Redis does not answer within two seconds.</summary>
    public async Task<RedisReading?> ReadAsync(CancellationToken cancellationToken = default)
    {
        try
        {
            if (!connection.IsConnected) return null;
            IDatabase database = connection.GetDatabase();
            TimeSpan latency = await database.PingAsync().WaitAsync(_timeout, cancellationToken);
            // by a script: the client takes INFO for an administrator's command, and a connection of the service has no such right
            var info = (string?)await database.ScriptEvaluateAsync(InfoScript).WaitAsync(_timeout, cancellationToken) ?? "";
            Dictionary<string, string> fields = info.Split('\n').Select(line => line.Trim().Split(':', 2)).Where(pair => pair.Length == 2)
                .DistinctBy(pair => pair[0]).ToDictionary(pair => pair[0], pair => pair[1]);
            return new RedisReading(latency, GetNumber("used_memory"), GetNumber("maxmemory"), GetNumber("evicted_keys"));

            long GetNumber(string field) => long.TryParse(
                fields.GetValueOrDefault(field), NumberStyles.None, CultureInfo.InvariantCulture, out long number) ? number : 0;
        }
        catch (Exception failure) when (RedisFailures.IsFailure(failure) || failure is TimeoutException)
        {
            return null;
        }
    }
}
