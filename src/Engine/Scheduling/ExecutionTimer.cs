using System.Diagnostics;

namespace Ndif.Engine.Scheduling;

/// <summary>
/// The time that a job has used of its model: its own statements, and its share of the passes that it ran in with others. The time in
/// which others ran is not its own. The time in which it waits for its client counts for the limit, and is not charged. When the limit is
/// exceeded, the job is cancelled. A job runs on one thread at a time; what it waits for may end on another one.
/// </summary>
/// <param name="timedOut">Cancelled when the limit is exceeded.</param>
internal sealed class ExecutionTimer(TimeSpan limit, CancellationTokenSource timedOut)
{
    private static readonly TimeSpan _longest = TimeSpan.FromDays(40); // of a timer

    private readonly Lock _lock = new();
    private long _started;
    private int _sharers;
    private bool _isWaiting;

    /// <summary>The time to charge.</summary>
    public TimeSpan Used { get; private set; }

    /// <summary>The time in which the job waited for its client.</summary>
    public TimeSpan Waited { get; private set; }

    /// <summary>The time until the limit.</summary>
    public TimeSpan Left => limit - Used - Waited - (_sharers == 0 ? TimeSpan.Zero : Stopwatch.GetElapsedTime(_started) / _sharers);

    /// <summary>The job begins to run.</summary>
    /// <param name="sharers">The number of jobs that run at the same time, this one included.</param>
    public void Start(int sharers)
    {
        lock (_lock)
        {
            Stop();
            TimeSpan left = Left > TimeSpan.Zero ? Left * sharers : TimeSpan.Zero;
            (_started, _sharers) = (Stopwatch.GetTimestamp(), sharers);
            SetTimer(left < _longest ? left : _longest);
        }
    }

    /// <summary>The job begins to wait for its client. Returns a number with which <see cref="Start"/> goes on.</summary>
    public int StartWaiting()
    {
        int sharers = Suspend();
        Start(sharers: 1);
        _isWaiting = true;
        return sharers;
    }

    /// <summary>The job waits, or others run. Without a start this does nothing.</summary>
    public void Stop()
    {
        lock (_lock)
        {
            if (_sharers == 0) return;
            TimeSpan elapsed = Stopwatch.GetElapsedTime(_started) / _sharers;
            if (_isWaiting) Waited += elapsed;
            else Used += elapsed;
            (_sharers, _isWaiting) = (0, false);
            SetTimer(Timeout.InfiniteTimeSpan);
        }
    }

    /// <summary>Stops while others run, and returns a number with which <see cref="Start"/> goes on; 0 if the job did not run.</summary>
    public int Suspend()
    {
        int sharers = _sharers;
        Stop();
        return sharers;
    }

    /// <summary>The job starts again from its beginning: what it has computed does not count.</summary>
    public void Discard()
    {
        Stop();
        Used = TimeSpan.Zero;
    }

    private void SetTimer(TimeSpan delay)
    {
        try
        {
            timedOut.CancelAfter(delay);
        }
        catch (ObjectDisposedException)
        {
            // the job has ended
        }
    }
}
