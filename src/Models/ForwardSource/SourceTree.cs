using System.Collections.Concurrent;
using System.Globalization;

namespace Ndif.Models.ForwardSource;

/// <summary>
/// All operations of a forward, including those of the functions that it calls, by index and by path: "attention_interface_0.softmax_0".
/// </summary>
public sealed class SourceTree
{
    private static readonly ConcurrentDictionary<SourceFunction, SourceTree> _trees = new(ReferenceEqualityComparer.Instance);

    private readonly List<SourceSite> _sites = [];
    private readonly Dictionary<string, int> _indices = new(StringComparer.Ordinal);

    private SourceTree(SourceFunction root)
    {
        Root = root;
        Visit(root, "", 0);
    }

    public SourceFunction Root { get; }

    public IReadOnlyList<SourceSite> Sites => _sites;

    public static SourceTree Of(SourceFunction function) => _trees.GetOrAdd(function, f => new SourceTree(f));

    /// <summary>The operation at a path, or -1.</summary>
    public int IndexOf(string path) => _indices.TryGetValue(path, out int index) ? index : -1;

    private void Visit(SourceFunction function, string prefix, int depth)
    {
        for (int i = 0; i < function.Operations.Count; i++)
        {
            SourceOperation operation = function.Operations[i];
            string path = prefix + operation.Name;
            _indices[path] = _sites.Count;
            _sites.Add(new SourceSite(path, operation, function, i));
            if (operation.Inside is { } inside && depth < 8) Visit(inside(), path + ".", depth + 1);
        }
    }
}

/// <summary>An operation in the tree of a forward.</summary>
/// <param name="Path">"attention_interface_0.softmax_0"</param>
/// <param name="Function">The function that contains it.</param>
/// <param name="Position">The position in that function.</param>
public sealed record SourceSite(string Path, SourceOperation Operation, SourceFunction Function, int Position)
{
    /// <summary>True if the axes are known: of the result; before the operation also of all arguments.</summary>
    public bool CanBeSliced(SiteModule module, bool after) =>
        Enumerable.Range(0, 3).All(element => OutputAxes(module, element).IsKnown)
        && (after || Operation.Inputs.Index().All(
            i => i.Item.Shape.Length == 0 || InputAxes(module, i.Item.Keyword ?? $"{i.Index}", 0).IsKnown));

    /// <summary>The axes of the result, by its shape comment.</summary>
    /// <param name="module">The module whose forward it is.</param>
    public Axes OutputAxes(SiteModule module, int element) =>
        Operation.Output == "?" && Operation.Submodule?.Invoke(module) is { } child ? child.OutputAxes(element)
            : Parse(module, Operation.Output, element);

    /// <summary>The same for an argument: its position among the positional ones as a number, or its keyword.</summary>
    public Axes InputAxes(SiteModule module, string argument, int element)
    {
        int at = int.TryParse(argument, CultureInfo.InvariantCulture, out int position) ? position
            : Operation.Inputs.Select(i => i.Keyword).ToList().IndexOf(argument);
        if (at < 0 || at >= Operation.Inputs.Count) return Axes.Unknown;
        Axes declared = Parse(module, Operation.Inputs[at].Shape, element);
        return Operation.Inputs[at].Shape != "?" || at > 0 || Operation.Submodule?.Invoke(module) is not { } child ? declared
            : child.InputAxes("0");
    }

    private static Axes Parse(SiteModule module, string shape, int element)
    {
        Axes axes = ShapeParser.ParseAxes(shape, element, module.OutputAxes(0));
        return axes.IsSeqOfEncoder || axes.IsKvSeqOfEncoder ? axes : module.ResolveTokens(axes);
    }
}
