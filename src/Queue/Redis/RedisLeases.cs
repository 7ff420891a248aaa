using StackExchange.Redis;

namespace Ndif.Queue;

/// <summary>The leases that this process holds, so that <see cref="Lease.Lost"/> can be cancelled when Redis tells of it.</summary>
internal sealed class RedisLeases
{
    private const int Remembered = 256;
    private readonly Lock gate = new();
    private readonly Dictionary<long, CancellationTokenSource> held = [];
    private readonly Queue<long> lately = []; // a cancel can overtake the reply that grants the lease

    /// <summary>A lease from the reply of lease.lua.</summary>
    public Lease Hold(RedisResult[] granted, string worker)
    {
        long token = (long)granted[4];
        var lost = new CancellationTokenSource();
        lock (gate)
        {
            if (lately.Contains(token)) lost.Cancel();
            else held[token] = lost;
        }
        return new Lease(
            (string)granted[0]!, (string)granted[1]!, (string)granted[2]!, (byte[])granted[3]!, worker, token, (int)granted[5],
            DateTimeOffset.FromUnixTimeMilliseconds((long)granted[6]), IsEmpty(granted[7]) ? null : TimeSpan.FromMilliseconds((long)granted[7]))
        {
            Lost = lost.Token,
            Waited = TimeSpan.FromMilliseconds(Math.Max(0, (long)granted[9] - (long)granted[6])),
            ResultBytes = IsEmpty(granted[10]) ? null : (long)granted[10],
            TraceParent = IsEmpty(granted[8]) ? null : (string?)granted[8],
        };
    }

    /// <summary>The job has ended or was given back: nothing can be lost any more.</summary>
    public void Release(Lease lease)
    {
        lock (gate) held.Remove(lease.Token);
    }

    public void Lose(long token)
    {
        lock (gate)
        {
            lately.Enqueue(token);
            if (lately.Count > Remembered) lately.Dequeue();
            if (held.Remove(token, out CancellationTokenSource? lost)) _ = lost.CancelAsync(); // callbacks must not run under the lock
        }
    }

    private static bool IsEmpty(RedisResult field) => string.IsNullOrEmpty((string?)field);
}
