using Ndif.Queue.Rules;

namespace Ndif.Queue.Memory;

/// <summary>What the in-memory queue knows of one owner. Touched only under the queue's lock.</summary>
internal sealed class MemoryOwnerState
{
    private readonly Queue<DateTimeOffset> _recentSubmissions = [];

    /// <summary>Jobs that wait or run.</summary>
    public int Active { get; set; }

    /// <summary>Jobs that wait for their first lease.</summary>
    public int Waiting { get; set; }

    /// <summary>Jobs accepted within the last minute.</summary>
    public int CountRecent(DateTimeOffset now)
    {
        while (_recentSubmissions.TryPeek(out DateTimeOffset first) && first <= now - QuotaRules.RateWindow) _recentSubmissions.Dequeue();
        return _recentSubmissions.Count;
    }

    /// <summary>How long until there were fewer than <paramref name="limit"/> within a minute.</summary>
    public TimeSpan GetTimeUntilBelow(int limit, DateTimeOffset now) => _recentSubmissions.ElementAt(_recentSubmissions.Count - limit) + QuotaRules.RateWindow - now;

    public void RecordSubmission(DateTimeOffset now)
    {
        _ = CountRecent(now);
        _recentSubmissions.Enqueue(now);
        Active++;
        Waiting++;
    }
}
