using System.Globalization;
using Ndif.Protocol;

namespace Ndif.Cli.Deploying;

/// <summary>The changes that make the deployments of a service equal to a models.yaml file.</summary>
/// <param name="Set">The deployments to add or replace.</param>
/// <param name="Evict">The deployments to remove.</param>
/// <param name="Lines">One line per difference: + added, ~ changed, - removed, = kept although it is not in the file.</param>
internal sealed record SyncPlan(IReadOnlyList<Deployment> Set, IReadOnlyList<Deployment> Evict, IReadOnlyList<string> Lines)
{
    public bool IsEmpty => Set.Count + Evict.Count == 0;

    /// <param name="prune">Remove the deployments that are not in the file.</param>
    public static SyncPlan Create(IReadOnlyList<Deployment> desired, IReadOnlyList<Deployment> current, bool prune)
    {
        List<Deployment> set = [], evict = [];
        List<string> lines = [];
        foreach (Deployment deployment in desired.OrderBy(ModelNames.GetName, StringComparer.Ordinal))
        {
            Deployment? before = current.FirstOrDefault(d => d.GetName() == deployment.GetName());
            string[] changes = before is null ? [] : [.. DescribeChanges(before, deployment)];
            if (before is not null && changes.Length == 0) continue;
            set.Add(deployment);
            lines.Add(before is null
                ? $"+ {deployment.GetName()}: {ModelsFile.Describe(deployment)}"
                : $"~ {deployment.GetName()}: {string.Join(", ", changes)}");
        }
        IEnumerable<Deployment> others = current.Where(d => !desired.Any(wanted => wanted.GetName() == d.GetName()));
        foreach (Deployment other in others.OrderBy(ModelNames.GetName, StringComparer.Ordinal))
        {
            if (prune) evict.Add(other);
            lines.Add(prune ? $"- {other.GetName()}" : $"= {other.GetName()}: not in the file; --prune takes it off");
        }
        return new SyncPlan(set, evict, lines);
    }

    private static IEnumerable<string> DescribeChanges(Deployment before, Deployment after)
    {
        if (before.Pinned != after.Pinned) yield return after.Pinned ? "pinned" : "not pinned any more";
        if (before.Replicas != after.Replicas)
            yield return string.Create(CultureInfo.InvariantCulture, $"replicas {before.Replicas} -> {after.Replicas}");
        if (before.Dtype != after.Dtype) yield return $"dtype {FormatDtype(before.Dtype)} -> {FormatDtype(after.Dtype)}";
    }

    private static string FormatDtype(DataType type) => type is DataType.Unspecified ? "the worker's" : type.ToString().ToLowerInvariant();
}
