using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Ndif.Queue;

namespace Ndif.Server.Hosting;

/// <summary>
/// A background service that runs a task at a fixed interval. A run that fails is logged, once for a series of equal failures, and the
/// next one follows after a pause that doubles up to ten seconds.
/// </summary>
/// <param name="name">The name of the task in the log.</param>
internal abstract class PeriodicBackgroundService(string name, TimeSpan interval, TimeProvider time, ILogger logger) : BackgroundService
{
    private static readonly TimeSpan _maxDelay = TimeSpan.FromSeconds(10);

    protected abstract Task ExecuteOnceAsync(CancellationToken cancellationToken);

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        using var timer = new PeriodicTimer(interval, time);
        var failures = new FailureBackoff(name, logger, time, interval, interval > _maxDelay ? interval : _maxDelay);
        try
        {
            while (await timer.WaitForNextTickAsync(stoppingToken))
            {
                try
                {
                    await ExecuteOnceAsync(stoppingToken);
                    failures.Succeeded();
                }
                catch (Exception failure) when (!stoppingToken.IsCancellationRequested)
                {
                    await failures.WaitAsync(failure, stoppingToken);
                }
            }
        }
        catch (OperationCanceledException) when (stoppingToken.IsCancellationRequested)
        {
            // the gateway is shutting down
        }
    }
}
