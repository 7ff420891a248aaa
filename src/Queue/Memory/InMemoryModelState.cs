using Ndif.Queue.Rules;

namespace Ndif.Queue.Memory;

/// <summary>The waiting jobs and statistics of one model in the in-memory queue. Accessed only under the lock of the queue.</summary>
internal sealed class InMemoryModelState
{
    public FairShareQueue Queue { get; } = new();

    public int Running { get; set; }

    /// <summary>The moving average of the duration of completed jobs; 0 before the first.</summary>
    public double MeanSeconds { get; private set; }

    public double EstimateWaitSeconds(int position) => JobRules.EstimateWaitSeconds(position, MeanSeconds, Running);

    /// <param name="duration">The time from the lease to the end, without the time in which the model was loaded.</param>
    public void RecordCompletion(TimeSpan duration) =>
        MeanSeconds = JobRules.UpdateMeanSeconds(MeanSeconds, Math.Max(0.001, duration.TotalSeconds));

    public void ResetIfIdle()
    {
        if (Running == 0 && Queue.Count == 0) Queue.Reset();
    }
}
