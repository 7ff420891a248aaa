using System.Security.Cryptography;
using Ndif.Protocol;

namespace Ndif.Queue.Rules;

/// <summary>The rules for submissions and worker events that all queue implementations share.</summary>
internal static class JobRules
{
    /// <summary>Refuses an invalid submission. Owners and models become parts of Redis keys, so they must not contain whitespace.</summary>
    public static void Validate(JobSubmission submission)
    {
        if (!QueueJobIds.IsValid(submission.JobId))
            throw QueueErrors.BadSubmission($"`{submission.JobId}` is not a valid job id.", "Use up to 64 letters, digits and '-'.");
        if (!IsName(submission.Owner))
            throw QueueErrors.BadSubmission($"`{submission.Owner}` is not a valid owner.", "Use up to 256 characters without whitespace.");
        if (!IsName(submission.Model))
            throw QueueErrors.BadSubmission(
                $"`{submission.Model}` is not a valid model name.", "Use up to 256 characters without whitespace.");
        if (!IsPositive(submission.Weight))
            throw QueueErrors.BadSubmission($"The weight {submission.Weight} is not valid.", "Use a positive number; 1 is usual.");
        if (!IsPositive(submission.Cost))
            throw QueueErrors.BadSubmission($"The cost {submission.Cost} is not valid.", "Use a positive number; 1 is usual.");
        if (submission.TimeLimit is { } limit && limit < TimeSpan.FromMilliseconds(1))
            throw QueueErrors.BadSubmission($"The time limit {limit} is too short.", "Use one millisecond or more, or no time limit.");
    }

    /// <summary>The SHA-256 of a program. Under one job id there is one program.</summary>
    public static string HashProgram(ReadOnlyMemory<byte> program) => Convert.ToHexStringLower(SHA256.HashData(program.Span));

    /// <summary>Returns a copy of a worker's event for storage. State events get the attempt and the worker of the lease.</summary>
    public static Event StampWorkerEvent(Lease lease, Event jobEvent)
    {
        if (jobEvent.KindCase == Event.KindOneofCase.None) throw QueueErrors.InvalidWorkerEvent("an event without content");
        Event stamped = jobEvent.Clone(); // the bytes of tensors are shared, not copied
        if (stamped.State is { } state)
        {
            if (state.State is not (JobState.Loading or JobState.Running) && !state.State.IsTerminal())
                throw QueueErrors.InvalidWorkerEvent($"the state {state.State}");
            state.Attempt = (uint)lease.Attempt;
            state.Worker = lease.Worker;
        }
        return stamped;
    }

    /// <summary>The end of a job that the queue ends while it runs.</summary>
    public static StateChanged CreateFailure(Lease lease, Error error) => new()
    {
        State = JobState.Failed, Error = error, Attempt = (uint)lease.Attempt, Worker = lease.Worker,
    };

    /// <summary>
    /// Estimates the wait of a job at a position by Little's law: one job ends per (mean duration / number of concurrent jobs). The mean
    /// is a moving average of the recent jobs, without the time in which their model was loaded. It follows a shorter job faster than a
    /// longer one, because the first jobs of a worker are slower than those that follow. The estimate is 0 until a job of the model has
    /// completed.
    /// </summary>
    public static double EstimateWaitSeconds(int position, double meanSeconds, int running) =>
        position * meanSeconds / Math.Max(1, running);

    /// <summary>The mean duration after a job has completed; <paramref name="meanSeconds"/> is 0 before the first job.</summary>
    public static double UpdateMeanSeconds(double meanSeconds, double seconds)
    {
        double weight = meanSeconds == 0 ? 1 : seconds < meanSeconds ? 0.7 : 0.2;
        return (1 - weight) * meanSeconds + weight * seconds;
    }

    /// <summary>The time of a completed job in which its model was loaded, as the worker measured it.</summary>
    public static TimeSpan GetLoadTime(Usage? usage) =>
        TimeSpan.FromSeconds(usage?.Phases.Where(phase => phase.Name == "load").Sum(phase => Math.Max(0, phase.Seconds)) ?? 0);

    /// <summary>
    /// Returns whether a waiting job's position has changed enough to be published again. Up to position 199 every change counts;
    /// beyond that, a change of one percent. A long wait then takes some hundred events instead of thousands.
    /// </summary>
    public static bool ShouldPublishPosition(int position, int lastPublished) =>
        position != lastPublished && Math.Abs(position - lastPublished) >= lastPublished / 100;

    private static bool IsName(string? name) =>
        name is { Length: > 0 and <= 256 } && !name.Any(c => char.IsWhiteSpace(c) || char.IsControl(c));

    private static bool IsPositive(double number) => number > 0 && double.IsFinite(number);
}
