using System.Threading.RateLimiting;

namespace Ndif.Server.Hosting;

/// <summary>
/// Bounds how many requests without a valid key a gateway answers per second, of all callers together
/// (<see cref="GatewayOptions.KeylessRequestsPerSecond"/>), so that they take little processor time from requests with a key. The others
/// wait in the order of arrival, up to as many as are answered in <see cref="MaxWaitSeconds"/>; further ones are refused.
/// </summary>
internal sealed class KeylessRequestLimiter(GatewayOptions options) : IDisposable
{
    public const int MaxWaitSeconds = 5;

    private const int PeriodsPerSecond = 20;

    /// <summary>How long a probe waits at most; orchestrators and load balancers give it at least a second.</summary>
    private static readonly TimeSpan _probeWait = TimeSpan.FromMilliseconds(100);

    private readonly TokenBucketRateLimiter _rate = Create(options.KeylessRequestsPerSecond);

    /// <summary>Waits until the request may be answered.</summary>
    /// <exception cref="Protocol.NdifException">QUOTA_EXCEEDED: too many wait.</exception>
    public async Task EnterAsync(CancellationToken cancellationToken)
    {
        using RateLimitLease lease = await _rate.AcquireAsync(1, cancellationToken);
        if (!lease.IsAcquired) throw ServerErrors.TooManyKeylessRequests(options.KeylessRequestsPerSecond, MaxWaitSeconds);
    }

    /// <summary>Delays a request that is never refused, briefly, if too many are sent.</summary>
    public async Task DelayProbeAsync(CancellationToken cancellationToken)
    {
        using RateLimitLease lease = _rate.AttemptAcquire();
        if (!lease.IsAcquired) await Task.Delay(_probeWait, cancellationToken);
    }

    public void Dispose() => _rate.Dispose();

    private static TokenBucketRateLimiter Create(int perSecond)
    {
        int perPeriod = Math.Max(1, perSecond / PeriodsPerSecond);
        return new TokenBucketRateLimiter(new TokenBucketRateLimiterOptions
        {
            TokenLimit = perSecond,
            TokensPerPeriod = perPeriod,
            ReplenishmentPeriod = TimeSpan.FromSeconds((double)perPeriod / perSecond),
            QueueLimit = perSecond * MaxWaitSeconds,
            QueueProcessingOrder = QueueProcessingOrder.OldestFirst,
        });
    }
}
