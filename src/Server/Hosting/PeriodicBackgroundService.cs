using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Ndif.Queue;

namespace Ndif.Server.Hosting;

/// <summary>What must happen now and then, whoever does it. A turn that fails is logged, and the next one comes all the same.</summary>
internal abstract class PeriodicBackgroundService(string name, TimeSpan interval, TimeProvider time, ILogger logger) : BackgroundService
{
    protected abstract Task ExecuteOnceAsync(CancellationToken cancellationToken);

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        using var timer = new PeriodicTimer(interval, time);
        try
        {
            while (await timer.WaitForNextTickAsync(stoppingToken))
            {
                try { await ExecuteOnceAsync(stoppingToken); }
                catch (Exception failure) when (!stoppingToken.IsCancellationRequested) { logger.ChoreFailed(name, failure); }
            }
        }
        catch (OperationCanceledException) when (stoppingToken.IsCancellationRequested)
        {
            // the gateway stops
        }
    }
}

/// <summary>Puts jobs back whose worker let its lease expire.</summary>
internal sealed class ExpiredLeaseCleanupService(IJobQueue jobs, GatewayOptions options, TimeProvider time, ILogger<ExpiredLeaseCleanupService> logger)
    : PeriodicBackgroundService("reap", options.ReapInterval, time, logger)
{
    protected override async Task ExecuteOnceAsync(CancellationToken cancellationToken)
    {
        if (await jobs.ReapExpiredLeasesAsync(cancellationToken) is > 0 and int count) logger.Reaped(count);
    }
}

/// <summary>Deletes blobs that have outlived their time.</summary>
internal sealed class ExpiredBlobCleanupService(IBlobStore blobs, GatewayOptions options, TimeProvider time, ILogger<ExpiredBlobCleanupService> logger)
    : PeriodicBackgroundService("sweep", options.SweepInterval, time, logger)
{
    protected override async Task ExecuteOnceAsync(CancellationToken cancellationToken)
    {
        if (await blobs.DeleteExpiredAsync(cancellationToken) is > 0 and int count) logger.Swept(count);
    }
}
