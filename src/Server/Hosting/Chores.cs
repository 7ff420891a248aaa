using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Ndif.Queue;

namespace Ndif.Server;

/// <summary>What must happen now and then, whoever does it. A turn that fails is logged, and the next one comes all the same.</summary>
internal abstract class Chore(string name, TimeSpan interval, TimeProvider time, ILogger logger) : BackgroundService
{
    protected abstract Task TurnAsync(CancellationToken cancellationToken);

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        using var timer = new PeriodicTimer(interval, time);
        try
        {
            while (await timer.WaitForNextTickAsync(stoppingToken))
            {
                try { await TurnAsync(stoppingToken); }
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
internal sealed class Reaper(IJobQueue jobs, GatewayOptions options, TimeProvider time, ILogger<Reaper> logger)
    : Chore("reap", options.ReapInterval, time, logger)
{
    protected override async Task TurnAsync(CancellationToken cancellationToken)
    {
        if (await jobs.ReapAsync(cancellationToken) is > 0 and int count) logger.Reaped(count);
    }
}

/// <summary>Deletes blobs that have outlived their time.</summary>
internal sealed class Sweeper(IBlobStore blobs, GatewayOptions options, TimeProvider time, ILogger<Sweeper> logger)
    : Chore("sweep", options.SweepInterval, time, logger)
{
    protected override async Task TurnAsync(CancellationToken cancellationToken)
    {
        if (await blobs.SweepAsync(cancellationToken) is > 0 and int count) logger.Swept(count);
    }
}
