using System.Globalization;
using StackExchange.Redis;

namespace Ndif.Queue.Redis;

/// <summary>
/// The clock of the Redis server. It is read every few seconds and continued with the monotonic clock of this process, so that neither a
/// wrong clock of this machine nor its correction changes it. Until Redis has answered for the first time, it is the clock of this machine.
/// </summary>
internal sealed class RedisClock : TimeProvider, IDisposable
{
    private static readonly TimeSpan _readInterval = TimeSpan.FromSeconds(10), _retryInterval = TimeSpan.FromMilliseconds(500);

    private readonly IConnectionMultiplexer _connection;
    private readonly CancellationTokenSource _stop = new();
    private Reading? _last;

    public RedisClock(IConnectionMultiplexer connection)
    {
        _connection = connection;
        _ = ReadAsync();
    }

    public override DateTimeOffset GetUtcNow() =>
        Volatile.Read(ref _last) is { } last ? last.Time + System.GetElapsedTime(last.Timestamp) : System.GetUtcNow();

    public void Dispose() => _stop.Cancel();

    private async Task ReadAsync()
    {
        await Task.Yield();
        while (!_stop.IsCancellationRequested)
        {
            bool isRead = await TryReadOnceAsync();
            await Task.Delay(isRead ? _readInterval : _retryInterval, System, _stop.Token)
                .ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }

    private async Task<bool> TryReadOnceAsync()
    {
        try
        {
            long asked = System.GetTimestamp();
            var parts = (RedisResult[])(await _connection.GetDatabase().ExecuteAsync("TIME"))!;
            TimeSpan travel = System.GetElapsedTime(asked) / 2;
            long microseconds = long.Parse((string)parts[0]!, CultureInfo.InvariantCulture) * 1_000_000
                + long.Parse((string)parts[1]!, CultureInfo.InvariantCulture);
            Volatile.Write(ref _last, new Reading(
                DateTimeOffset.UnixEpoch.AddTicks(microseconds * TimeSpan.TicksPerMicrosecond) + travel, System.GetTimestamp()));
            return true;
        }
        catch (Exception failure) when (RedisFailures.IsFailure(failure) || failure is ObjectDisposedException)
        {
            return false; // the last reading goes on
        }
    }

    private sealed record Reading(DateTimeOffset Time, long Timestamp);
}
