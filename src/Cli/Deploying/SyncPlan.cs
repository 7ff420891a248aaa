using System.Globalization;
using Ndif.Protocol;

namespace Ndif.Cli.Deploying;

/// <summary>What makes a service equal a file.</summary>
/// <param name="Set">To be deployed, or deployed otherwise.</param>
/// <param name="Evict">To be taken off.</param>
/// <param name="Lines">What changes, in words: + comes, ~ changes, - goes, = stays though the file has it not.</param>
internal sealed record SyncPlan(IReadOnlyList<Deployment> Set, IReadOnlyList<Deployment> Evict, IReadOnlyList<string> Lines)
{
    public bool IsEmpty => Set.Count + Evict.Count == 0;

    /// <param name="prune">Take off what the file does not have.</param>
    public static SyncPlan Create(IReadOnlyList<Deployment> wanted, IReadOnlyList<Deployment> current, bool prune)
    {
        List<Deployment> set = [], evict = [];
        List<string> lines = [];
        foreach (Deployment one in wanted.OrderBy(ModelNames.GetName, StringComparer.Ordinal))
        {
            Deployment? before = current.FirstOrDefault(d => d.GetName() == one.GetName());
            string[] changes = before is null ? [] : [.. DescribeChanges(before, one)];
            if (before is not null && changes.Length == 0) continue;
            set.Add(one);
            lines.Add(before is null ? $"+ {one.GetName()}: {ModelsFile.Describe(one)}" : $"~ {one.GetName()}: {string.Join(", ", changes)}");
        }
        foreach (Deployment other in current.Where(d => !wanted.Any(w => w.GetName() == d.GetName())).OrderBy(ModelNames.GetName, StringComparer.Ordinal))
        {
            if (prune) evict.Add(other);
            lines.Add(prune ? $"- {other.GetName()}" : $"= {other.GetName()}: not in the file; --prune takes it off");
        }
        return new SyncPlan(set, evict, lines);
    }

    private static IEnumerable<string> DescribeChanges(Deployment before, Deployment after)
    {
        if (before.Pinned != after.Pinned) yield return after.Pinned ? "pinned" : "not pinned any more";
        if (before.Replicas != after.Replicas) yield return string.Create(CultureInfo.InvariantCulture, $"replicas {before.Replicas} -> {after.Replicas}");
        if (before.Dtype != after.Dtype) yield return $"dtype {FormatDtype(before.Dtype)} -> {FormatDtype(after.Dtype)}";
    }

    private static string FormatDtype(DataType type) => type is DataType.Unspecified ? "the worker's" : type.ToString().ToLowerInvariant();
}
