using Ndif.Protocol;

namespace Ndif.Queue.Rules;

/// <summary>What may be submitted, and what a worker may say: the same for every implementation.</summary>
internal static class JobRules
{
    /// <summary>Refuses a submission that the queue could not keep faithfully. Names become parts of keys, hence no blanks in them.</summary>
    public static void Validate(JobSubmission submission)
    {
        if (submission.JobId is not { Length: > 0 and <= 64 } id || !id.All(c => char.IsAsciiLetterOrDigit(c) || c == '-'))
            throw QueueErrors.BadSubmission($"`{submission.JobId}` cannot be a job id.", "Use up to 64 letters, digits and '-'.");
        if (!IsName(submission.Owner)) throw QueueErrors.BadSubmission($"`{submission.Owner}` cannot be an owner.", "Use up to 256 characters without blanks.");
        if (!IsName(submission.Model)) throw QueueErrors.BadSubmission($"`{submission.Model}` cannot be a model.", "Use up to 256 characters without blanks.");
        if (!IsPositive(submission.Weight)) throw QueueErrors.BadSubmission($"The weight {submission.Weight} is not a share.", "Use a positive number; 1 is usual.");
        if (!IsPositive(submission.Cost)) throw QueueErrors.BadSubmission($"The cost {submission.Cost} is not an amount of work.", "Use a positive number; 1 is usual.");
        if (submission.TimeLimit is { } limit && limit < TimeSpan.FromMilliseconds(1))
            throw QueueErrors.BadSubmission($"The time limit {limit} is too short.", "Use a millisecond or more, or none.");
    }

    /// <summary>A copy of a worker's event for keeping; a state says which attempt and which worker.</summary>
    public static Event StampWorkerEvent(Lease lease, Event jobEvent)
    {
        if (jobEvent.KindCase == Event.KindOneofCase.None) throw QueueErrors.InvalidWorkerEvent("an event of no kind");
        Event stamped = jobEvent.Clone(); // tensors' bytes are shared, not copied
        if (stamped.State is { } state)
        {
            if (state.State is not (JobState.Loading or JobState.Running) && !state.State.IsTerminal())
                throw QueueErrors.InvalidWorkerEvent($"the state {state.State}");
            state.Attempt = (uint)lease.Attempt;
            state.Worker = lease.Worker;
        }
        return stamped;
    }

    /// <summary>
    /// The estimated wait of a job at a position: jobs end once per (mean duration / jobs that run side by side).
    /// Little's law; 0 as long as no job of the model has ended.
    /// </summary>
    public static double EstimateWaitSeconds(int position, double meanSeconds, int running) => position * meanSeconds / Math.Max(1, running);

    /// <summary>Whether a waiting job's position is news: behind the first hundred the next step is a hundredth, so that a long wait is some hundred events and not thousands.</summary>
    public static bool ShouldPublishPosition(int position, int lastPublished) => position != lastPublished && Math.Abs(position - lastPublished) >= lastPublished / 100;

    private static bool IsName(string? name) =>
        name is { Length: > 0 and <= 256 } && !name.Any(c => char.IsWhiteSpace(c) || char.IsControl(c));

    private static bool IsPositive(double number) => number > 0 && double.IsFinite(number);
}
