using System.Globalization;
using Ndif.Protocol;

namespace Ndif.Queue.Rules;

/// <summary>What both queues agree on about accounts.</summary>
internal static class UsageAccounting
{
    /// <summary>How long a day's account is kept.</summary>
    public const int RetentionDays = 400;

    public static string FormatDay(DateOnly day) => day.ToString("yyyy-MM-dd", CultureInfo.InvariantCulture);

    public static IReadOnlyList<UsageRow> Sort(IEnumerable<UsageRow> rows) =>
        [.. rows.OrderBy(row => row.Day, StringComparer.Ordinal).ThenBy(row => row.Key, StringComparer.Ordinal).ThenBy(row => row.Model, StringComparer.Ordinal)];
}

/// <summary>
/// What one job adds to its owner's account. Compute time is what its worker measured; for a job that was cancelled while it ran, the
/// time since its lease. A job whose workers were lost costs nothing but its count: that was not its owner's doing.
/// </summary>
internal sealed record UsageCharge(ulong Tokens, ulong Passes, long ComputeMilliseconds, ulong ResultBytes)
{
    public static UsageCharge Zero { get; } = new(0, 0, 0, 0);

    public static UsageCharge FromUsage(Usage? usage) => usage is null ? Zero
        : new(usage.Tokens, usage.Passes, (long)Math.Min(Math.Round(Math.Max(0, usage.ComputeSeconds) * 1000), 1e15), usage.ResultBytes);
}
