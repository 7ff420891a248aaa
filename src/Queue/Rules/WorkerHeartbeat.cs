using Ndif.Protocol;

namespace Ndif.Queue.Rules;

/// <summary>A worker's last heartbeat, and what follows from all of them.</summary>
internal sealed record WorkerHeartbeat(WorkerStatus Worker, IReadOnlyList<ModelStatus> Models)
{
    public static IReadOnlyList<WorkerStatus> ListWorkers(IEnumerable<WorkerHeartbeat> live) =>
        [.. live.Select(a => a.Worker.Clone()).OrderBy(w => w.Id, StringComparer.Ordinal)];

    /// <summary>
    /// One line per model: as hot as its hottest copy, replicas counted over the workers that have it hot. What waits and runs is
    /// summed over the workers; the queue knows it better. A reason why it cannot be held counts if every worker that stays has one.
    /// </summary>
    public static IReadOnlyList<ModelStatus> MergeModels(IReadOnlyCollection<WorkerHeartbeat> live)
    {
        List<(ModelStatus Status, bool Stays)> all = [.. live.SelectMany(a => a.Models.Select(m => (m, !a.Worker.Draining)))];
        int stayingCount = live.Count(a => !a.Worker.Draining);
        return [.. all.GroupBy(m => (m.Status.Id, m.Status.Revision))
            .Where(copies => copies.Key.Revision.Length > 0 || copies.Any(m => m.Status.Error is null) || all.TrueForAll(m => m.Status.Id != copies.Key.Id || m.Status.Error is not null))
            .Select(copies =>
            {
                ModelStatus merged = copies.MaxBy(m => m.Status.Heat).Status.Clone();
                merged.Replicas = (uint)copies.Count(m => m.Status.Heat == Heat.Hot);
                merged.Waiting = (uint)copies.Sum(m => m.Status.Waiting);
                merged.Running = (uint)copies.Sum(m => m.Status.Running);
                merged.Loading = (uint)copies.Sum(m => m.Status.Loading);
                merged.Pinned = copies.Any(m => m.Status.Pinned);
                merged.Error = copies.Count(m => m.Stays && m.Status.Error is not null) == stayingCount ? copies.Select(m => m.Status.Error).FirstOrDefault(e => e is not null) : null;
                return merged;
            })
            .OrderByDescending(m => m.Heat).ThenByDescending(m => m.Replicas).ThenBy(m => m.Id, StringComparer.Ordinal)];
    }
}
