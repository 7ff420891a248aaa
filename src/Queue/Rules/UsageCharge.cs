using Ndif.Protocol;

namespace Ndif.Queue.Rules;

/// <summary>
/// The usage that one job adds to its owner's record. Compute time is measured by the worker; for a job that was cancelled while it ran,
/// it is the time since its lease. A job whose workers were lost is counted, but nothing else is charged: the owner did not cause it.
/// </summary>
internal sealed record UsageCharge(ulong Tokens, ulong Passes, long ComputeMilliseconds, ulong ResultBytes)
{
    /// <summary>The largest compute time that is charged, so that a wrong report of a worker cannot overflow the counters.</summary>
    private const double MaxComputeMilliseconds = 1e15;

    public static UsageCharge Zero { get; } = new(0, 0, 0, 0);

    public static UsageCharge FromUsage(Usage? usage) => usage is null ? Zero
        : new(usage.Tokens, usage.Passes, ToMilliseconds(usage.ComputeSeconds), usage.ResultBytes);

    private static long ToMilliseconds(double seconds) => (long)Math.Min(Math.Round(Math.Max(0, seconds) * 1000), MaxComputeMilliseconds);
}
