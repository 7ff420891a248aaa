using Ndif.Protocol;

namespace Ndif.Queue.Rules;

/// <summary>The last heartbeat of a worker, and the service-wide views that are computed from all heartbeats.</summary>
internal sealed record WorkerHeartbeat(WorkerStatus Worker, IReadOnlyList<ModelStatus> Models)
{
    public static IReadOnlyList<WorkerStatus> ListWorkers(IEnumerable<WorkerHeartbeat> live) =>
        [.. live.Select(heartbeat => heartbeat.Worker.Clone()).OrderBy(worker => worker.Id, StringComparer.Ordinal)];

    /// <summary>
    /// Merges the reports of all workers into one status per model. The heat is the best of any worker; replicas are the workers that
    /// have the model on their device; the waiting and running jobs of the workers are summed (the queue has the exact counts). A model
    /// has an error only if every worker that is not draining reports one.
    /// </summary>
    public static IReadOnlyList<ModelStatus> MergeModels(IReadOnlyCollection<WorkerHeartbeat> live)
    {
        List<(ModelStatus Status, bool IsStaying)> reports =
            [.. live.SelectMany(heartbeat => heartbeat.Models.Select(model => (model, !heartbeat.Worker.Draining)))];
        int stayingCount = live.Count(heartbeat => !heartbeat.Worker.Draining);
        return
        [
            .. reports.GroupBy(report => (report.Status.Id, report.Status.Revision))
                .Where(group => ShouldList(group.Key.Id, group.Key.Revision, group, reports))
                .Select(group => Merge([.. group], stayingCount))
                .OrderByDescending(model => model.Heat)
                .ThenByDescending(model => model.Replicas)
                .ThenBy(model => model.Id, StringComparer.Ordinal),
        ];
    }

    /// <summary>
    /// A worker that failed to load a model may not know its revision. Its report is not listed as a model of its own while another
    /// report of the same id has no error.
    /// </summary>
    private static bool ShouldList(
        string id, string revision, IEnumerable<(ModelStatus Status, bool IsStaying)> group,
        List<(ModelStatus Status, bool IsStaying)> reports) =>
        revision.Length > 0
        || group.Any(report => report.Status.Error is null)
        || reports.TrueForAll(report => report.Status.Id != id || report.Status.Error is not null);

    private static ModelStatus Merge(IReadOnlyList<(ModelStatus Status, bool IsStaying)> reports, int stayingCount)
    {
        bool isFailedEverywhere = reports.Count(report => report.IsStaying && report.Status.Error is not null) == stayingCount;
        ModelStatus merged = reports.MaxBy(report => report.Status.Heat).Status.Clone();
        merged.Replicas = (uint)reports.Count(report => report.Status.Heat == Heat.Hot);
        merged.Waiting = (uint)reports.Sum(report => report.Status.Waiting);
        merged.Running = (uint)reports.Sum(report => report.Status.Running);
        merged.Loading = (uint)reports.Sum(report => report.Status.Loading);
        merged.Pinned = reports.Any(report => report.Status.Pinned);
        merged.Error = isFailedEverywhere ? reports.Select(report => report.Status.Error).FirstOrDefault(error => error is not null) : null;
        return merged;
    }
}
