using Ndif.Protocol;

namespace Ndif.Server.Grpc;

/// <summary>The waiting jobs that clients of this gateway follow. <see cref="QueuePositionNotifier"/> publishes their positions.</summary>
internal sealed class QueuePositionSubscriptions
{
    private readonly JobReferenceCounts _waiting = new();

    public IReadOnlyCollection<string> WaitingJobIds => _waiting.JobIds;

    /// <summary>Creates the subscription of a stream that follows a job.</summary>
    public QueuePositionSubscription Subscribe(string jobId) => new(this, jobId);

    /// <summary>The subscription of one stream. It is active while the job waits.</summary>
    internal sealed class QueuePositionSubscription(QueuePositionSubscriptions subscriptions, string jobId) : IDisposable
    {
        private bool _isWaiting;

        /// <summary>Called for each event of the job, to activate or deactivate the subscription.</summary>
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
