using Ndif.Protocol;

namespace Ndif.Remote;

/// <summary>
/// The position in a job's event stream, from which the client resumes after a lost connection. A connection that never delivered an
/// event is not retried, unless the service is known to have the job. The loops that read and resume the stream are in
/// <see cref="RemoteService"/>.
/// </summary>
internal sealed class EventStreamCursor
{
    private static readonly TimeSpan _reconnectTimeout = TimeSpan.FromSeconds(30), _maxBackoff = TimeSpan.FromSeconds(2);

    private long _lastReceivedTicks;
    private int _retries;

    /// <summary>The sequence number of the next event.</summary>
    public ulong NextSequence { get; set; } = 1;

    /// <summary>True if the service is known to have the job before its first event.</summary>
    public bool IsAccepted { get; init; }

    /// <summary>The last reply to the program. It is sent again after a lost connection, which may not have delivered it.</summary>
    public LocalReply? LastReply { get; set; }

    /// <summary>True after the job's last event.</summary>
    public bool IsCompleted { get; set; }

    /// <summary>True for an event that was received before.</summary>
    public bool HasReceived(Event jobEvent) => jobEvent.Sequence < NextSequence;

    public void Advance(Event jobEvent)
    {
        (_lastReceivedTicks, _retries, NextSequence) = (Environment.TickCount64, 0, jobEvent.Sequence + 1);
        IsCompleted = jobEvent.IsTerminal();
    }

    /// <summary>True if the job may still be running and the time for reconnecting is not over.</summary>
    public bool CanRetryAfter(NdifException failure)
    {
        bool isAccepted = IsAccepted || _lastReceivedTicks != 0 || failure.Error.JobContinues;
        if (!isAccepted || IsCompleted || failure.Code is not ErrorCode.Unavailable) return false;
        if (_retries == 0) _lastReceivedTicks = Environment.TickCount64; // the time for reconnecting starts with the failure
        return Environment.TickCount64 - _lastReceivedTicks < _reconnectTimeout.TotalMilliseconds;
    }

    /// <summary>Waits before the next attempt: 0.1 s, then twice as long each time, up to 2 s.</summary>
    public Task BackOffAsync(CancellationToken cancellationToken)
    {
        TimeSpan pause = TimeSpan.FromMilliseconds(100 << Math.Min(_retries++, 8));
        return Task.Delay(pause < _maxBackoff ? pause : _maxBackoff, cancellationToken);
    }
}
