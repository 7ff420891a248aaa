using Ndif.Queue.Rules;

namespace Ndif.Queue.Memory;

/// <summary>The job counts of one owner in the in-memory queue. Accessed only under the lock of the queue.</summary>
internal sealed class InMemoryOwnerState
{
    private readonly Queue<DateTimeOffset> _recentSubmissions = [];

    /// <summary>The number of jobs that wait or run.</summary>
    public int Active { get; set; }

    /// <summary>The number of jobs that wait for their first lease.</summary>
    public int Waiting { get; set; }

    /// <summary>Returns the number of jobs accepted within the last minute.</summary>
    public int CountRecent(DateTimeOffset now)
    {
        while (_recentSubmissions.TryPeek(out DateTimeOffset first) && first <= now - QuotaRules.RateWindow) _recentSubmissions.Dequeue();
        return _recentSubmissions.Count;
    }

    /// <summary>Returns the time until fewer than <paramref name="limit"/> jobs fall within the last minute.</summary>
    public TimeSpan GetTimeUntilBelow(int limit, DateTimeOffset now) =>
        _recentSubmissions.ElementAt(_recentSubmissions.Count - limit) + QuotaRules.RateWindow - now;

    public void RecordSubmission(DateTimeOffset now)
    {
        _ = CountRecent(now);
        _recentSubmissions.Enqueue(now);
        Active++;
        Waiting++;
    }
}
