using Ndif.Protocol;

namespace Ndif.Remote;

/// <summary>
/// How far a job's events have come to this client, so that after the loss of a gateway it goes on where it stopped. A service
/// that was never heard fails at once; one that was is waited for.
/// </summary>
internal sealed class Contact
{
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(30), s_longestPause = TimeSpan.FromSeconds(2);

    private long _heard;
    private int _pauses;

    /// <summary>The sequence number of the first event that has not come yet.</summary>
    public ulong Next { get; set; } = 1;

    /// <summary>The last answer to the program: given again if the gateway that was to pass it on is lost.</summary>
    public LocalReply? Answer { get; set; }

    /// <summary>True after the job's last event.</summary>
    public bool IsOver { get; set; }

    /// <summary>True for an event that has come already.</summary>
    public bool HasHeard(Event happening) => happening.Sequence < Next;

    public void Heard(Event happening)
    {
        (_heard, _pauses, Next) = (Environment.TickCount64, 0, happening.Sequence + 1);
        IsOver = IsLast(happening);
    }

    /// <summary>True for a job's last event.</summary>
    public static bool IsLast(Event happening) => happening.State?.State is JobState.Completed or JobState.Failed or JobState.Cancelled;

    /// <summary>True if the job may go on without the gateway that was lost, and another one (or the same again) may answer soon.</summary>
    public bool MayReturnAfter(NdifException lost)
    {
        if (_heard == 0 || IsOver || lost.Code is not ErrorCode.Unavailable) return false;
        if (_pauses == 0) _heard = Environment.TickCount64; // patience begins with the loss
        return Environment.TickCount64 - _heard < s_patience.TotalMilliseconds;
    }

    /// <summary>0.1 s at first, twice as long each time.</summary>
    public Task PauseAsync(CancellationToken cancellationToken)
    {
        TimeSpan pause = TimeSpan.FromMilliseconds(100 << Math.Min(_pauses++, 8));
        return Task.Delay(pause < s_longestPause ? pause : s_longestPause, cancellationToken);
    }
}
