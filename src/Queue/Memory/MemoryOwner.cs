namespace Ndif.Queue;

/// <summary>What the in-memory queue knows of one owner. Touched only under the queue's lock.</summary>
internal sealed class MemoryOwner
{
    private readonly Queue<DateTimeOffset> recent = [];

    /// <summary>Jobs that wait or run.</summary>
    public int Active { get; set; }

    /// <summary>Jobs that wait for their first lease.</summary>
    public int Waiting { get; set; }

    /// <summary>Jobs accepted within the last minute.</summary>
    public int Recent(DateTimeOffset now)
    {
        while (recent.TryPeek(out DateTimeOffset first) && first <= now - QuotaRules.Window) recent.Dequeue();
        return recent.Count;
    }

    /// <summary>How long until there were fewer than <paramref name="most"/> within a minute.</summary>
    public TimeSpan UntilFewerThan(int most, DateTimeOffset now) => recent.ElementAt(recent.Count - most) + QuotaRules.Window - now;

    public void Accepted(DateTimeOffset now)
    {
        _ = Recent(now);
        recent.Enqueue(now);
        Active++;
        Waiting++;
    }
}
