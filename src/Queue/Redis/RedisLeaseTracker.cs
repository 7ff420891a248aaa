using StackExchange.Redis;

namespace Ndif.Queue.Redis;

/// <summary>Tracks the leases of this process, to cancel <see cref="Lease.Lost"/> when a message says that a lease was lost.</summary>
internal sealed class RedisLeaseTracker
{
    private const int MaxRecentlyLost = 256;
    private readonly Lock _lock = new();
    private readonly Dictionary<long, CancellationTokenSource> _active = [];
    private readonly Queue<long> _recentlyLost = []; // the message can arrive before the reply that grants the lease

    /// <summary>Creates a lease from the reply of lease.lua.</summary>
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
            DateTimeOffset.FromUnixTimeMilliseconds((long)granted[6]),
            IsEmpty(granted[7]) ? null : TimeSpan.FromMilliseconds((long)granted[7]))
        {
            Lost = lost.Token,
            TimeInQueue = TimeSpan.FromMilliseconds(Math.Max(0, (long)granted[9] - (long)granted[6])),
            MaxResultBytes = IsEmpty(granted[10]) ? null : (long)granted[10],
            Weight = IsEmpty(granted[11]) ? 1 : (double)granted[11],
            TraceParent = IsEmpty(granted[8]) ? null : (string?)granted[8],
        };
    }

    /// <summary>Stops tracking a lease whose job has ended or was returned.</summary>
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
            // asynchronously: callbacks must not run under the lock
            if (_active.Remove(token, out CancellationTokenSource? lost)) _ = lost.CancelAsync();
        }
    }

    private static bool IsEmpty(RedisResult field) => string.IsNullOrEmpty((string?)field);
}
