namespace Ndif.Queue;

/// <summary>
/// Whether a submission is within its quota, and if not, what to say. Redis/Scripts/submit.lua counts in the same order; the sentences
/// are here alone.
/// </summary>
internal static class QuotaRules
{
    public static readonly TimeSpan Window = TimeSpan.FromMinutes(1);

    private static readonly TimeSpan s_least = TimeSpan.FromSeconds(1), s_most = TimeSpan.FromMinutes(1);

    /// <summary>What the owner and the queue have now.</summary>
    /// <param name="Due">How long until the rate allows another one; only looked at when it was reached.</param>
    public sealed record Standing(long Active, long Recent, long OwnWaiting, long Waiting, TimeSpan Due, double MeanSeconds, int Running);

    /// <summary>Null if another job may come.</summary>
    public static Exception? Check(Quota quota, Standing now)
    {
        TimeSpan end = UntilOneEnds(now.MeanSeconds, now.Running);
        if (now.Active >= quota.InFlight) return QueueErrors.TooManyJobs(now.Active, quota.InFlight, end);
        if (now.Recent >= quota.PerMinute) return QueueErrors.TooOften(quota.PerMinute, now.Due);
        if (now.OwnWaiting >= quota.Waiting) return QueueErrors.TooManyWaiting(now.OwnWaiting, quota.Waiting, end);
        if (now.Waiting >= quota.Depth) return QueueErrors.QueueFull(now.Waiting, quota.Depth, end);
        return null;
    }

    /// <summary>The same from the script's reply: which bound, the number there, the bound, and in milliseconds when to come back.</summary>
    public static Exception Refusal(string bound, long number, long most, double wait, double meanSeconds, int running) => bound switch
    {
        "active" => QueueErrors.TooManyJobs(number, most, UntilOneEnds(meanSeconds, running)),
        "recent" => QueueErrors.TooOften(most, TimeSpan.FromMilliseconds(wait)),
        "own" => QueueErrors.TooManyWaiting(number, most, UntilOneEnds(meanSeconds, running)),
        _ => QueueErrors.QueueFull(number, most, UntilOneEnds(meanSeconds, running)),
    };

    /// <summary>Jobs of the model end once per mean duration and job that runs; from a second, also where nothing is known, to a minute.</summary>
    private static TimeSpan UntilOneEnds(double meanSeconds, int running)
    {
        double seconds = JobRules.WaitSeconds(1, meanSeconds, running);
        return seconds <= s_least.TotalSeconds ? s_least : seconds >= s_most.TotalSeconds ? s_most : TimeSpan.FromSeconds(seconds);
    }
}
