using Ndif.Protocol;

namespace Ndif.Remote;

/// <summary>
/// How far a job's events have come to this client, so that after the loss of a gateway it goes on where it stopped. A service
/// that was never heard fails at once; one that was is waited for.
/// </summary>
internal sealed class EventStreamCursor
{
    private static readonly TimeSpan _reconnectTimeout = TimeSpan.FromSeconds(30), _maxBackoff = TimeSpan.FromSeconds(2);

    private long _lastReceivedTicks;
    private int _retries;

    /// <summary>The sequence number of the first event that has not come yet.</summary>
    public ulong NextSequence { get; set; } = 1;

    /// <summary>The last answer to the program: given again if the gateway that was to pass it on is lost.</summary>
    public LocalReply? LastReply { get; set; }

    /// <summary>True after the job's last event.</summary>
    public bool IsCompleted { get; set; }

    /// <summary>True for an event that has come already.</summary>
    public bool HasReceived(Event jobEvent) => jobEvent.Sequence < NextSequence;

    public void Advance(Event jobEvent)
    {
        (_lastReceivedTicks, _retries, NextSequence) = (Environment.TickCount64, 0, jobEvent.Sequence + 1);
        IsCompleted = jobEvent.IsTerminal();
    }

    /// <summary>True if the job may go on without the gateway that was lost, and another one (or the same again) may answer soon.</summary>
    public bool CanRetryAfter(NdifException failure)
    {
        if (_lastReceivedTicks == 0 || IsCompleted || failure.Code is not ErrorCode.Unavailable) return false;
        if (_retries == 0) _lastReceivedTicks = Environment.TickCount64; // patience begins with the loss
        return Environment.TickCount64 - _lastReceivedTicks < _reconnectTimeout.TotalMilliseconds;
    }

    /// <summary>0.1 s at first, twice as long each time.</summary>
    public Task BackOffAsync(CancellationToken cancellationToken)
    {
        TimeSpan pause = TimeSpan.FromMilliseconds(100 << Math.Min(_retries++, 8));
        return Task.Delay(pause < _maxBackoff ? pause : _maxBackoff, cancellationToken);
    }
}
