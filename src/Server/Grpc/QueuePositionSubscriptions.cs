using Microsoft.Extensions.Logging;
using Ndif.Protocol;
using Ndif.Queue;
using Ndif.Server.Hosting;

namespace Ndif.Server.Grpc;

/// <summary>The jobs that somebody follows through this gateway while they wait: those whose positions are worth telling again.</summary>
internal sealed class QueuePositionSubscriptions
{
    private readonly JobReferenceCounts _waiting = new();

    public IReadOnlyCollection<string> WaitingJobIds => _waiting.JobIds;

    /// <summary>Somebody begins to follow a job.</summary>
    public QueuePositionSubscription Subscribe(string jobId) => new(this, jobId);

    /// <summary>One follower of one job, for the time that it waits.</summary>
    internal sealed class QueuePositionSubscription(QueuePositionSubscriptions subscriptions, string jobId) : IDisposable
    {
        private bool _isWaiting;

        /// <summary>An event that was sent.</summary>
        public void OnEventSent(Event jobEvent)
        {
            if (jobEvent.State is { } state) SetWaiting(state.State is JobState.Queued);
        }

        public void Dispose() => SetWaiting(false);

        private void SetWaiting(bool isWaiting)
        {
            if (isWaiting == _isWaiting) return;
            _isWaiting = isWaiting;
            if (isWaiting) subscriptions._waiting.Add(jobId);
            else subscriptions._waiting.Remove(jobId);
        }
    }
}

/// <summary>Tells those who wait where they stand.</summary>
internal sealed class QueuePositionNotifier(QueuePositionSubscriptions subscriptions, IJobQueue jobs, GatewayOptions options, TimeProvider time, ILogger<QueuePositionNotifier> logger)
    : PeriodicBackgroundService("tell positions", options.TellInterval, time, logger)
{
    protected override async Task ExecuteOnceAsync(CancellationToken cancellationToken)
    {
        // other gateways have turns of their own: not quite the interval, so that one's own last turn is always long enough ago
        if (subscriptions.WaitingJobIds is { Count: > 0 } waiting) await jobs.PublishPositionsAsync(waiting, 0.9 * options.TellInterval, cancellationToken);
    }
}
