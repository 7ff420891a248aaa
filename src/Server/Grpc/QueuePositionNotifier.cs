using Microsoft.Extensions.Logging;
using Ndif.Queue;
using Ndif.Server.Hosting;
using Ndif.Server.Monitoring;

namespace Ndif.Server.Grpc;

/// <summary>
/// Publishes the changed queue positions, and the changed notices, of the waiting jobs that clients of this gateway follow
/// (<see cref="QueuePositionSubscriptions"/>).
/// </summary>
internal sealed class QueuePositionNotifier(
    QueuePositionSubscriptions subscriptions, IJobQueue jobs, ServiceNotices notices, GatewayOptions options, TimeProvider time,
    ILogger<QueuePositionNotifier> logger)
    : PeriodicBackgroundService("queue position notification", options.QueuePositionInterval, time, logger)
{
    protected override async Task ExecuteOnceAsync(CancellationToken cancellationToken)
    {
        if (subscriptions.WaitingJobIds is not { Count: > 0 } waiting) return;
        // Several gateways may publish the position of the same job. The minimum interval is a little shorter than the timer's, so that
        // jitter of the timer does not skip every second run.
        await jobs.PublishPositionsAsync(
            waiting, minInterval: 0.9 * options.QueuePositionInterval, await notices.GetAllAsync(cancellationToken), cancellationToken);
    }
}
