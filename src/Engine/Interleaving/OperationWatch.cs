using Ndif.Engine.Compiling;
using Ndif.Models;

namespace Ndif.Engine.Interleaving;

/// <summary>One operation's hook inside of a module's forward: brings its calls before the interleaver.</summary>
internal sealed class OperationWatch(Interleaver interleaver, Point point, bool before, bool after) : OperationObserver
{
    /// <summary>The watched operations of a module; null if there are none.</summary>
    public static WatchedSource? Of(Interleaver interleaver, SourceTree? source, IEnumerable<Point> points)
    {
        if (source is null) return null;
        Dictionary<int, OperationObserver> watches = points.Where(p => p.IsOperation).GroupBy(p => p.Operation).ToDictionary(
            p => p.Key, p => (OperationObserver)new OperationWatch(interleaver, p.First() with { After = true }, p.Any(x => !x.After), p.Any(x => x.After)));
        return watches.Count == 0 ? null : WatchedSource.Of(source, watches);
    }

    public override object? Call(Arguments arguments, Func<Arguments, object?> run)
    {
        List<SkippedPart>? skipped = null;
        if (before)
        {
            arguments = (Arguments)interleaver.Pass(point with { After = false }, arguments)!;
            skipped = interleaver.TakeSkips(point);
        }
        if (skipped is null) return After(run(arguments));
        Func<int, Axes> axes = interleaver.Sites.OutputAxes(point);
        return After(SkippedPart.Join(skipped, axes) ?? SkippedPart.Splice(skipped, run(arguments), axes, interleaver.Sites.Name(point)));
    }

    private object? After(object? result) => after ? interleaver.Pass(point, result) : result;
}
