using Microsoft.Extensions.Diagnostics.HealthChecks;
using Ndif.Queue;

namespace Ndif.Server.Hosting;

/// <summary>The gateway is healthy if it reaches its queue; without it, it can accept nothing.</summary>
internal sealed class QueueHealthCheck(IJobQueue jobs) : IHealthCheck
{
    public async Task<HealthCheckResult> CheckHealthAsync(HealthCheckContext context, CancellationToken cancellationToken = default)
    {
        try
        {
            await jobs.CountAsync(cancellationToken);
            return HealthCheckResult.Healthy();
        }
        catch (Exception failure) when (!cancellationToken.IsCancellationRequested)
        {
            return HealthCheckResult.Unhealthy("The queue cannot be reached.", failure);
        }
    }
}
