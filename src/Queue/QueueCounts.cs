namespace Ndif.Queue;

/// <summary>The number of waiting, running, completed and failed jobs; waiting and running jobs also by model.</summary>
public sealed record QueueCounts(
    int Waiting, int Running, long Completed, long Failed, IReadOnlyDictionary<string, (int Waiting, int Running)> ByModel);
