using Microsoft.Extensions.Diagnostics.HealthChecks;
using Ndif.Queue;
using Ndif.Server.Monitoring;

namespace Ndif.Server.Hosting;

/// <summary>The gateway is healthy if it can reach the queue; without the queue it cannot accept jobs.</summary>
internal sealed class QueueHealthCheck(IJobQueue jobs, TimeProvider time) : IHealthCheck
{
    public const string Name = "queue";

    /// <summary>How long a result is kept: probes need no key, and must not load the queue.</summary>
    public static readonly TimeSpan Lifetime = TimeSpan.FromMilliseconds(200);

    private readonly SharedRead<HealthCheckResult> _result = new(() => CheckAsync(jobs), Lifetime, time);

    public Task<HealthCheckResult> CheckHealthAsync(HealthCheckContext context, CancellationToken cancellationToken = default) =>
        _result.GetAsync(cancellationToken);

    private static async Task<HealthCheckResult> CheckAsync(IJobQueue jobs)
    {
        try
        {
            await jobs.CountAsync();
            return HealthCheckResult.Healthy();
        }
        catch (Exception failure)
        {
            return HealthCheckResult.Unhealthy("The queue cannot be reached.", failure);
        }
    }
}
