using Ndif.Engine.Compiling;
using Ndif.Models;
using Ndif.Models.ForwardSource;

namespace Ndif.Engine.Interleaving;

/// <summary>The hook of an operation inside a module's forward, which passes its arguments and results to the interleaver.</summary>
internal sealed class InterleavingOperationHook(Interleaver interleaver, HookPoint point, bool hasBefore, bool hasAfter)
    : SourceOperationHook
{
    /// <summary>Creates the hooks of the operations at these hook points; null if there are none.</summary>
    public static SourceHooks? CreateAll(Interleaver interleaver, SourceTree? source, IEnumerable<HookPoint> points)
    {
        if (source is null) return null;
        Dictionary<int, SourceOperationHook> hooks = points.Where(p => p.IsOperation).GroupBy(p => p.Operation).ToDictionary(
            p => p.Key,
            p => (SourceOperationHook)new InterleavingOperationHook(interleaver, p.First() with { IsAfter = true }, p.Any(x => !x.IsAfter),
                p.Any(x => x.IsAfter)));
        return hooks.Count == 0 ? null : SourceHooks.Create(source, hooks);
    }

    public override object? Call(Arguments arguments, Func<Arguments, object?> run)
    {
        IReadOnlyList<SkippedRows>? skipped = null;
        if (hasBefore)
        {
            arguments = (Arguments)interleaver.OnHookPoint(point with { IsAfter = false }, arguments)!;
            skipped = interleaver.ConsumeSkips(point);
        }
        if (skipped is null) return After(run(arguments));
        Func<int, Axes> axes = interleaver.Sites.OutputAxes(point);
        return After(SkippedRows.Join(skipped, axes) ?? SkippedRows.Splice(skipped, run(arguments), axes, interleaver.Sites.NameOf(point)));
    }

    private object? After(object? result) => hasAfter ? interleaver.OnHookPoint(point, result) : result;
}
