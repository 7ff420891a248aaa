namespace Ndif.Queue;

/// <summary>What the in-memory queue knows of one model.</summary>
internal sealed class MemoryModel
{
    public FairShare Line { get; } = new();

    public int Running { get; set; }

    /// <summary>Moving average of the duration of completed jobs; 0 before the first.</summary>
    public double MeanSeconds { get; private set; }

    public double WaitSeconds(int position) => JobRules.WaitSeconds(position, MeanSeconds, Running);

    public void Completed(TimeSpan duration) =>
        MeanSeconds = MeanSeconds == 0 ? duration.TotalSeconds : (0.8 * MeanSeconds) + (0.2 * duration.TotalSeconds);

    public void ForgetIfIdle()
    {
        if (Running == 0 && Line.Count == 0) Line.Forget();
    }
}
