using StackExchange.Redis;

namespace Ndif.Queue.Redis;

/// <summary>The leases that this process holds, so that <see cref="Lease.Lost"/> can be cancelled when Redis tells of it.</summary>
internal sealed class RedisLeaseTracker
{
    private const int MaxRecentlyLost = 256;
    private readonly Lock _lock = new();
    private readonly Dictionary<long, CancellationTokenSource> _active = [];
    private readonly Queue<long> _recentlyLost = []; // a cancel can overtake the reply that grants the lease

    /// <summary>A lease from the reply of lease.lua.</summary>
    public Lease Track(RedisResult[] granted, string worker)
    {
        long token = (long)granted[4];
        var lost = new CancellationTokenSource();
        lock (_lock)
        {
            if (_recentlyLost.Contains(token)) lost.Cancel();
            else _active[token] = lost;
        }
        return new Lease(
            (string)granted[0]!, (string)granted[1]!, (string)granted[2]!, (byte[])granted[3]!, worker, token, (int)granted[5],
            DateTimeOffset.FromUnixTimeMilliseconds((long)granted[6]), IsEmpty(granted[7]) ? null : TimeSpan.FromMilliseconds((long)granted[7]))
        {
            Lost = lost.Token,
            TimeInQueue = TimeSpan.FromMilliseconds(Math.Max(0, (long)granted[9] - (long)granted[6])),
            MaxResultBytes = IsEmpty(granted[10]) ? null : (long)granted[10],
            TraceParent = IsEmpty(granted[8]) ? null : (string?)granted[8],
        };
    }

    /// <summary>The job has ended or was given back: nothing can be lost any more.</summary>
    public void Release(Lease lease)
    {
        lock (_lock) _active.Remove(lease.Token);
    }

    public void MarkLost(long token)
    {
        lock (_lock)
        {
            _recentlyLost.Enqueue(token);
            if (_recentlyLost.Count > MaxRecentlyLost) _recentlyLost.Dequeue();
            if (_active.Remove(token, out CancellationTokenSource? lost)) _ = lost.CancelAsync(); // callbacks must not run under the lock
        }
    }

    private static bool IsEmpty(RedisResult field) => string.IsNullOrEmpty((string?)field);
}
