using Microsoft.Extensions.Diagnostics.HealthChecks;
using Ndif.Queue;
using Ndif.Server.Monitoring;

namespace Ndif.Server.Hosting;

/// <summary>The service is ready if a worker is alive that accepts jobs; without one, jobs are accepted and wait.</summary>
internal sealed class WorkersHealthCheck(IWorkerRegistry workers, TimeProvider time) : IHealthCheck
{
    private readonly SharedRead<HealthCheckResult> _result = new(() => CheckAsync(workers), QueueHealthCheck.Lifetime, time);

    public Task<HealthCheckResult> CheckHealthAsync(HealthCheckContext context, CancellationToken cancellationToken = default) =>
        _result.GetAsync(cancellationToken);

    private static async Task<HealthCheckResult> CheckAsync(IWorkerRegistry workers)
    {
        try
        {
            return (await workers.ListWorkersAsync()).Any(worker => !worker.Draining)
                ? HealthCheckResult.Healthy()
                : HealthCheckResult.Unhealthy("No worker is alive.");
        }
        catch (Exception failure)
        {
            return HealthCheckResult.Unhealthy("The queue cannot be reached.", failure);
        }
    }
}
