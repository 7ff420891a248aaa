namespace Ndif.Queue.Rules;

/// <summary>
/// Whether a submission is within its quota, and if not, what to say. Redis/Scripts/submit.lua counts in the same order; the sentences
/// are here alone.
/// </summary>
internal static class QuotaRules
{
    public static readonly TimeSpan RateWindow = TimeSpan.FromMinutes(1);

    private static readonly TimeSpan _minRetryDelay = TimeSpan.FromSeconds(1), _maxRetryDelay = TimeSpan.FromMinutes(1);

    /// <summary>What the owner and the queue have now.</summary>
    /// <param name="RateRetryDelay">How long until the rate allows another one; only looked at when it was reached.</param>
    public sealed record Counts(long Active, long Recent, long OwnerWaiting, long Waiting, TimeSpan RateRetryDelay, double MeanSeconds, int Running);

    /// <summary>Null if another job may come.</summary>
    public static Exception? GetViolation(Quota quota, Counts current)
    {
        TimeSpan retryDelay = EstimateTimeUntilJobEnds(current.MeanSeconds, current.Running);
        if (current.Active >= quota.InFlight) return QueueErrors.TooManyJobs(current.Active, quota.InFlight, retryDelay);
        if (current.Recent >= quota.PerMinute) return QueueErrors.RateExceeded(quota.PerMinute, current.RateRetryDelay);
        if (current.OwnerWaiting >= quota.Waiting) return QueueErrors.TooManyWaiting(current.OwnerWaiting, quota.Waiting, retryDelay);
        if (current.Waiting >= quota.Depth) return QueueErrors.QueueFull(current.Waiting, quota.Depth, retryDelay);
        return null;
    }

    /// <summary>The same from the script's reply: which bound, the number there, the bound, and in milliseconds when to come back.</summary>
    public static Exception ToException(string limitName, long current, long limit, double waitMilliseconds, double meanSeconds, int running) => limitName switch
    {
        "active" => QueueErrors.TooManyJobs(current, limit, EstimateTimeUntilJobEnds(meanSeconds, running)),
        "recent" => QueueErrors.RateExceeded(limit, TimeSpan.FromMilliseconds(waitMilliseconds)),
        "own" => QueueErrors.TooManyWaiting(current, limit, EstimateTimeUntilJobEnds(meanSeconds, running)),
        _ => QueueErrors.QueueFull(current, limit, EstimateTimeUntilJobEnds(meanSeconds, running)),
    };

    /// <summary>Jobs of the model end once per mean duration and job that runs; from a second, also where nothing is known, to a minute.</summary>
    private static TimeSpan EstimateTimeUntilJobEnds(double meanSeconds, int running)
    {
        double seconds = JobRules.EstimateWaitSeconds(1, meanSeconds, running);
        return seconds <= _minRetryDelay.TotalSeconds ? _minRetryDelay : seconds >= _maxRetryDelay.TotalSeconds ? _maxRetryDelay : TimeSpan.FromSeconds(seconds);
    }
}
