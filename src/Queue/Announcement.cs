using Ndif.Protocol;

namespace Ndif.Queue;

/// <summary>A worker's last heartbeat, and what follows from all of them.</summary>
internal sealed record Announcement(WorkerStatus Worker, IReadOnlyList<ModelStatus> Models)
{
    public static IReadOnlyList<WorkerStatus> Workers(IEnumerable<Announcement> living) =>
        [.. living.Select(a => a.Worker.Clone()).OrderBy(w => w.Id, StringComparer.Ordinal)];

    /// <summary>
    /// One line per model: as hot as its hottest copy, replicas counted over the workers that have it hot. What waits and runs is
    /// summed over the workers; the queue knows it better.
    /// </summary>
    public static IReadOnlyList<ModelStatus> Merge(IEnumerable<Announcement> living) =>
        [.. living.SelectMany(a => a.Models).GroupBy(m => (m.Id, m.Revision)).Select(copies =>
            {
                ModelStatus merged = copies.MaxBy(m => m.Heat)!.Clone();
                merged.Replicas = (uint)copies.Count(m => m.Heat == Heat.Hot);
                merged.Waiting = (uint)copies.Sum(m => m.Waiting);
                merged.Running = (uint)copies.Sum(m => m.Running);
                return merged;
            })
            .OrderByDescending(m => m.Heat).ThenByDescending(m => m.Replicas).ThenBy(m => m.Id, StringComparer.Ordinal)];

    /// <summary>The names a description is found by: the model's id, and with its revision.</summary>
    public static IEnumerable<string> NamesOf(ModelDescription model) =>
        model.Revision.Length > 0 ? [model.Id, $"{model.Id}@{model.Revision}"] : [model.Id];
}
