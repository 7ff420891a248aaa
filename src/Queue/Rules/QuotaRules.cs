namespace Ndif.Queue.Rules;

/// <summary>
/// Decides whether a submission is within its quota, and creates the error if it is not. Redis/Scripts/submit.lua checks the limits in
/// the same order and returns the exceeded limit; the error texts exist only here.
/// </summary>
internal static class QuotaRules
{
    public static readonly TimeSpan RateWindow = TimeSpan.FromMinutes(1);

    private static readonly TimeSpan _minRetryDelay = TimeSpan.FromSeconds(1), _maxRetryDelay = TimeSpan.FromMinutes(1);

    /// <summary>The current counts of the owner and of the queue, and the pace of the model.</summary>
    /// <param name="RateRetryDelay">The time until the rate limit allows another job; only used when the rate limit is reached.</param>
    public sealed record Counts(
        long Active, long Recent, long OwnerWaiting, long Waiting, TimeSpan RateRetryDelay, double MeanSeconds, int Running);

    /// <summary>Returns the error for the first exceeded limit, or null if another job may be submitted.</summary>
    public static Exception? GetViolation(Quota quota, Counts current)
    {
        TimeSpan retryDelay = EstimateTimeUntilJobEnds(current.MeanSeconds, current.Running);
        if (current.Active >= quota.InFlight) return QueueErrors.TooManyJobs(current.Active, quota.InFlight, retryDelay);
        if (current.Recent >= quota.PerMinute) return QueueErrors.RateExceeded(quota.PerMinute, current.RateRetryDelay);
        if (current.OwnerWaiting >= quota.Waiting) return QueueErrors.TooManyWaiting(current.OwnerWaiting, quota.Waiting, retryDelay);
        if (current.Waiting >= quota.Depth) return QueueErrors.QueueFull(current.Waiting, quota.Depth, retryDelay);
        return null;
    }

    /// <summary>
    /// Creates the error from the reply of submit.lua: the name of the limit, the current count, the limit, and for the rate limit the
    /// time until the next job is allowed.
    /// </summary>
    public static Exception ToException(
        string limitName, long current, long limit, double waitMilliseconds, double meanSeconds, int running) => limitName switch
    {
        "active" => QueueErrors.TooManyJobs(current, limit, EstimateTimeUntilJobEnds(meanSeconds, running)),
        "recent" => QueueErrors.RateExceeded(limit, TimeSpan.FromMilliseconds(waitMilliseconds)),
        "own" => QueueErrors.TooManyWaiting(current, limit, EstimateTimeUntilJobEnds(meanSeconds, running)),
        "all" => QueueErrors.QueueFull(current, limit, EstimateTimeUntilJobEnds(meanSeconds, running)),
        _ => throw new ArgumentException($"There is no limit `{limitName}`.", nameof(limitName)),
    };

    /// <summary>
    /// Estimates when the next job of the model ends, clamped to between one second and one minute. It is one second before the first
    /// completed job.
    /// </summary>
    private static TimeSpan EstimateTimeUntilJobEnds(double meanSeconds, int running)
    {
        double seconds = JobRules.EstimateWaitSeconds(1, meanSeconds, running);
        return seconds <= _minRetryDelay.TotalSeconds ? _minRetryDelay
            : seconds >= _maxRetryDelay.TotalSeconds ? _maxRetryDelay
            : TimeSpan.FromSeconds(seconds);
    }
}
