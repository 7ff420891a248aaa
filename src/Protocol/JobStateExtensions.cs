namespace Ndif.Protocol;

/// <summary>Which states end a job.</summary>
public static class JobStateExtensions
{
    /// <summary>True for the states that no other state follows: completed, failed and cancelled.</summary>
    public static bool IsTerminal(this JobState state) => state is JobState.Completed or JobState.Failed or JobState.Cancelled;

    /// <summary>True for a job's last event.</summary>
    public static bool IsTerminal(this Event jobEvent) => jobEvent.State is { } changed && changed.State.IsTerminal();
}
