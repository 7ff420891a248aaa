using System.Collections.Concurrent;
using Microsoft.Extensions.Logging;

namespace Ndif.Server.Hosting;

/// <summary>
/// Bounds the log lines about the requests of one key, and of all callers without a valid key together, so that whoever sends many requests
/// does not fill a disk: a burst, and then <see cref="LinesPerSecond"/>. What was left out is counted and logged with the next line.
/// </summary>
internal sealed class RequestLogLimiter(TimeProvider time, ILogger<RequestLogLimiter> logger)
{
    public const int Burst = 500, LinesPerSecond = 20;

    private readonly ConcurrentDictionary<string, Allowance> _allowances = new(StringComparer.Ordinal);

    /// <summary>Returns whether a line may be written now. Before it, this logs how many were left out since the last one.</summary>
    /// <param name="owner">The id of the key; empty without a valid one.</param>
    public bool TryTake(string owner)
    {
        if (!TryTake(owner, out long skipped)) return false;
        if (skipped > 0) logger.LinesLeftOut(skipped, owner.Length > 0 ? $"the key {owner}" : "callers without a valid key");
        return true;
    }

    private bool TryTake(string owner, out long skipped)
    {
        Allowance allowance = _allowances.GetOrAdd(owner, _ => new Allowance { Left = Burst, Time = time.GetUtcNow() });
        lock (allowance)
        {
            DateTimeOffset now = time.GetUtcNow();
            double seconds = Math.Max(0, (now - allowance.Time).TotalSeconds); // the clock can be set back
            (allowance.Left, allowance.Time) = (Math.Min(Burst, allowance.Left + (seconds * LinesPerSecond)), now);
            bool isAllowed = allowance.Left >= 1;
            skipped = isAllowed ? allowance.Skipped : 0;
            if (isAllowed) (allowance.Left, allowance.Skipped) = (allowance.Left - 1, 0);
            else allowance.Skipped++;
            return isAllowed;
        }
    }

    private sealed class Allowance
    {
        public double Left;
        public DateTimeOffset Time;
        public long Skipped;
    }
}
