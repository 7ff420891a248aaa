using System.Collections.Concurrent;

namespace Ndif.Server.Hosting;

/// <summary>
/// Limits how often a key's requests may be refused: reading and checking a request that is refused costs the gateway as much as one that
/// is accepted. Each refusal counts as one, and one more for each 64 KiB that were received and each MiB of objects that was decoded from
/// them; a minute allows as many as the key's tier allows jobs. What the gateway has no memory for does not count, nor does memory for
/// results and uploads. The counts are those of one gateway.
/// </summary>
internal sealed class RefusalLimiter(GatewayOptions options, TimeProvider time)
{
    private const double ReceivedBytesPerRefusal = 64 << 10, DecodedBytesPerRefusal = 1 << 20, Minute = 60;

    private readonly ConcurrentDictionary<string, Allowance> _allowances = new(StringComparer.Ordinal);

    /// <summary>Returns how long the key has to wait; zero if its next request is read.</summary>
    public TimeSpan GetWait(string owner, string tier)
    {
        if (!_allowances.TryGetValue(owner, out Allowance? allowance)) return TimeSpan.Zero;
        lock (allowance)
        {
            Refill(allowance, options.GetTier(tier).JobsPerMinute);
            return allowance.Left >= 1 ? TimeSpan.Zero
                : TimeSpan.FromSeconds(Math.Max(1, (1 - allowance.Left) * Minute / options.GetTier(tier).JobsPerMinute));
        }
    }

    /// <summary>Counts a refusal.</summary>
    /// <param name="request">What the request has used.</param>
    public void Add(string owner, string tier, RequestScope request)
    {
        double refusals = 1 + (request.ReceivedBytes / ReceivedBytesPerRefusal) + (request.DecodedBytes / DecodedBytesPerRefusal);
        int limit = options.GetTier(tier).JobsPerMinute;
        Allowance allowance = _allowances.GetOrAdd(owner, _ => new Allowance { Left = limit, Time = time.GetUtcNow() });
        lock (allowance)
        {
            Refill(allowance, limit);
            allowance.Left = Math.Max(allowance.Left - refusals, -limit);
        }
    }

    private void Refill(Allowance allowance, int limit)
    {
        DateTimeOffset now = time.GetUtcNow();
        double seconds = Math.Max(0, (now - allowance.Time).TotalSeconds); // the clock can be set back
        allowance.Left = Math.Min(limit, allowance.Left + (seconds * limit / Minute));
        allowance.Time = now;
    }

    private sealed class Allowance
    {
        public double Left;
        public DateTimeOffset Time;
    }
}
