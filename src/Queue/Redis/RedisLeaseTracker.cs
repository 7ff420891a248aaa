using StackExchange.Redis;

namespace Ndif.Queue.Redis;

/// <summary>Tracks the leases of this process, to cancel <see cref="Lease.Lost"/> when a message says that a lease was lost.</summary>
internal sealed class RedisLeaseTracker
{
    private const int MaxRecentlyLost = 256;
    private readonly Lock _lock = new();
    private readonly Dictionary<long, CancellationTokenSource> _active = [];
    private readonly Dictionary<long, long> _lastSequences = []; // of the active leases
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
            if (!lost.IsCancellationRequested) _lastSequences[token] = IsEmpty(granted[12]) ? 0 : (long)granted[12];
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
        lock (_lock)
        {
            _active.Remove(lease.Token);
            _lastSequences.Remove(lease.Token);
        }
    }

    /// <summary>Returns the number of the last event of the job that this process knows; 0 for a lease that has ended.</summary>
    public long GetLastSequence(Lease lease)
    {
        lock (_lock) return _lastSequences.GetValueOrDefault(lease.Token);
    }

    /// <summary>Counts an event that was published; while a job is leased, only its worker publishes.</summary>
    public void CountEvent(Lease lease)
    {
        lock (_lock)
            if (_lastSequences.TryGetValue(lease.Token, out long last)) _lastSequences[lease.Token] = last + 1;
    }

    public void MarkLost(long token)
    {
        lock (_lock)
        {
            _recentlyLost.Enqueue(token);
            _lastSequences.Remove(token);
            if (_recentlyLost.Count > MaxRecentlyLost) _recentlyLost.Dequeue();
            // asynchronously: callbacks must not run under the lock
            if (_active.Remove(token, out CancellationTokenSource? lost)) _ = lost.CancelAsync();
        }
    }

    private static bool IsEmpty(RedisResult field) => string.IsNullOrEmpty((string?)field);
}
