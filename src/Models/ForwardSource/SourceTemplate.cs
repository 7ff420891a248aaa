using System.Collections.Concurrent;

namespace Ndif.Models.ForwardSource;

/// <summary>
/// The forward of a shared layer, from which each module has the part that it runs: lines and operations whose conditions hold for the
/// module, submodules and class under the names that the module prints, operations numbered again. Written by the generator of
/// src/Models.Generator for classes with <see cref="SharedLayerAttribute"/>.
/// </summary>
/// <param name="method">"Forward"</param>
/// <param name="line">The first line of the text in the file.</param>
/// <param name="conditions">The conditions, to which the indices in lines and operations refer.</param>
public sealed class SourceTemplate(string method, string file, int line, IReadOnlyList<TemplateLine> lines,
    IReadOnlyList<TemplateOperation> operations, IReadOnlyList<Func<SiteModule, bool>> conditions)
{
    /// <summary>Modules with the same operations and names share one: the layers of a model, and models of one architecture.</summary>
    private readonly ConcurrentDictionary<string, SourceFunction> _variants = new(StringComparer.Ordinal);

    /// <summary>Returns the part of the forward that a module runs.</summary>
    public SourceFunction For(SiteModule module)
    {
        bool[] holds = [.. conditions.Select(condition => condition(module))];
        TemplateLine[] shown = [.. lines.Where(l => Runs(l.Conditions))];
        int[] ids = [.. Enumerable.Range(0, operations.Count).Where(id => Runs(operations[id].Conditions))];
        string[] names = [.. ids.Select(id => NameOf(operations[id], module))];
        string key = $"{module.ClassName} {string.Join(' ', ids)} {string.Join(' ', names)}";
        return _variants.GetOrAdd(key, _ => Create(module.ClassName, shown, ids, names));

        bool Runs(int[] required) => Array.TrueForAll(required, index => index >= 0 ? holds[index] : !holds[~index]);
    }

    private SourceFunction Create(string className, TemplateLine[] shown, int[] ids, string[] names)
    {
        Dictionary<string, int> counts = new(StringComparer.Ordinal);
        var present = new SourceOperation[ids.Length];
        for (int i = 0; i < ids.Length; i++)
        {
            TemplateOperation template = operations[ids[i]];
            SourceOperation operation = template.Operation;
            string name = operation.Name;
            if (template.BaseName.Length > 0)
            {
                int count = counts.GetValueOrDefault(names[i]);
                counts[names[i]] = count + 1;
                name = $"{names[i]}_{count}";
            }
            present[i] = operation with { Name = name, Line = line + Array.FindLastIndex(shown, l => l.Line <= operation.Line) };
        }
        return new SourceFunction($"{className}.{method}", file, line, string.Join('\n', shown.Select(l => l.Text)), present)
        {
            Ids = ids, IdCount = operations.Count,
        };
    }

    private static string NameOf(TemplateOperation template, SiteModule module) =>
        template.IsNamedByChild && template.Operation.Submodule?.Invoke(module) is { } child
            ? $"self_{PathOf(child, module)}" : template.BaseName;

    /// <summary>"norms" for <c>_norms[0]</c>: an item of a list is called by the list's name.</summary>
    private static string PathOf(SiteModule child, SiteModule module)
    {
        List<string> parts = [];
        for (SiteModule? at = child; at is not null && at != module; at = at.Parent)
            if (at.Parent is not { IsList: true }) parts.Insert(0, at.Name);
        return string.Join('_', parts);
    }
}

/// <param name="Line">The line number in the file.</param>
/// <param name="Conditions">The indices of the conditions that must be true; the complement of an index if it must be false.</param>
public readonly record struct TemplateLine(string Text, int Line, int[] Conditions);

/// <param name="BaseName">The name without its number; empty for a label.</param>
/// <param name="IsNamedByChild">True for the call of a submodule, which has the name of the submodule.</param>
/// <param name="Conditions">The same as those of a <see cref="TemplateLine"/>.</param>
public sealed record TemplateOperation(SourceOperation Operation, string BaseName, bool IsNamedByChild, int[] Conditions);

/// <summary>
/// Marks a layer that several models share, each with its own options and names: conditions on fields alone in its forward are decided
/// for each module in <c>.Source</c>. Derived classes inherit the mark.
/// </summary>
[AttributeUsage(AttributeTargets.Class)]
public sealed class SharedLayerAttribute : Attribute;
