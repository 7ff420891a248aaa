using Microsoft.Extensions.Diagnostics.HealthChecks;
using Ndif.Queue;

namespace Ndif.Server.Hosting;

/// <summary>The gateway is healthy if it can reach the queue; without the queue it cannot accept jobs.</summary>
internal sealed class QueueHealthCheck(IJobQueue jobs) : IHealthCheck
{
    public const string Name = "queue";

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
