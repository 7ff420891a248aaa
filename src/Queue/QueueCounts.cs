namespace Ndif.Queue;

/// <summary>The number of waiting and running jobs, also by model, and of the ended jobs by outcome.</summary>
public sealed record QueueCounts(
    int Waiting, int Running, long Completed, long Failed, IReadOnlyDictionary<string, (int Waiting, int Running)> ByModel)
{
    public long Cancelled { get; init; }

    /// <summary>The failed jobs that ran too long.</summary>
    public long TimedOut { get; init; }
}
