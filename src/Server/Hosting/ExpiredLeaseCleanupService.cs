using Microsoft.Extensions.Logging;
using Ndif.Queue;

namespace Ndif.Server.Hosting;

/// <summary>
/// Returns jobs with expired leases to the queue. Workers do this too; the gateway does it for the time when no worker is alive.
/// </summary>
internal sealed class ExpiredLeaseCleanupService(
    IJobQueue jobs, GatewayOptions options, TimeProvider time, ILogger<ExpiredLeaseCleanupService> logger)
    : PeriodicBackgroundService("expired lease cleanup", options.LeaseCleanupInterval, time, logger)
{
    protected override async Task ExecuteOnceAsync(CancellationToken cancellationToken)
    {
        if (await jobs.ReapExpiredLeasesAsync(cancellationToken) is > 0 and int count) logger.LeasesReaped(count);
    }
}
