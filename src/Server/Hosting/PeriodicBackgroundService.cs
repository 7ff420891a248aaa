using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

namespace Ndif.Server.Hosting;

/// <summary>
/// A background service that runs a task at a fixed interval. A run that fails is logged, and the next one follows as usual.
/// </summary>
/// <param name="name">The name of the task in the log.</param>
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
                catch (Exception failure) when (!stoppingToken.IsCancellationRequested) { logger.PeriodicTaskFailed(name, failure); }
            }
        }
        catch (OperationCanceledException) when (stoppingToken.IsCancellationRequested)
        {
            // the gateway is shutting down
        }
    }
}
