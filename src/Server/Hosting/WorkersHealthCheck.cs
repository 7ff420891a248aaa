using Microsoft.Extensions.Diagnostics.HealthChecks;
using Ndif.Queue;

namespace Ndif.Server.Hosting;

/// <summary>The service is ready if a worker is alive that accepts jobs; without one, jobs are accepted and wait.</summary>
internal sealed class WorkersHealthCheck(IWorkerRegistry workers) : IHealthCheck
{
    public async Task<HealthCheckResult> CheckHealthAsync(HealthCheckContext context, CancellationToken cancellationToken = default)
    {
        try
        {
            return (await workers.ListWorkersAsync(cancellationToken)).Any(worker => !worker.Draining)
                ? HealthCheckResult.Healthy()
                : HealthCheckResult.Unhealthy("No worker is alive.");
        }
        catch (Exception failure) when (!cancellationToken.IsCancellationRequested)
        {
            return HealthCheckResult.Unhealthy("The queue cannot be reached.", failure);
        }
    }
}
