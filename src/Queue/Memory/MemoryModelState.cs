using Ndif.Queue.Rules;

namespace Ndif.Queue.Memory;

/// <summary>What the in-memory queue knows of one model.</summary>
internal sealed class MemoryModelState
{
    public FairShareQueue Queue { get; } = new();

    public int Running { get; set; }

    /// <summary>Moving average of the duration of completed jobs; 0 before the first.</summary>
    public double MeanSeconds { get; private set; }

    public double EstimateWaitSeconds(int position) => JobRules.EstimateWaitSeconds(position, MeanSeconds, Running);

    public void RecordCompletion(TimeSpan duration) =>
        MeanSeconds = MeanSeconds == 0 ? duration.TotalSeconds : (0.8 * MeanSeconds) + (0.2 * duration.TotalSeconds);

    public void ResetIfIdle()
    {
        if (Running == 0 && Queue.Count == 0) Queue.Reset();
    }
}
