using Ndif.Engine.Compiling;
using Ndif.Models;
using TorchSharp;

namespace Ndif.Engine.Interleaving;

/// <summary>One module's hook: brings its calls before the interleaver.</summary>
/// <param name="operations">Those inside of its forward that are watched, or null.</param>
internal sealed class ModuleWatch(Interleaver interleaver, int module, bool before, bool after, WatchedSource? operations = null) : SiteObserver
{
    public override object? Call(SiteModule called, Arguments arguments)
    {
        arguments = Before(arguments, out List<SkippedPart>? skipped);
        if (skipped is null) return After(arguments, Run(called, arguments));
        var point = new Point(module, After: true);
        object? joined = SkippedPart.Join(skipped, interleaver.Sites.OutputAxes(point));
        // what returns a tuple is read as one, also if it was skipped with its first tensor
        if (joined is torch.Tensor && !called.GivesTensor) joined = new object?[] { joined };
        return After(joined ?? SkippedPart.Splice(skipped, Run(called, arguments), interleaver.Sites.OutputAxes(point), interleaver.Sites.Name(point)));
    }

    public Arguments Before(Arguments arguments, out List<SkippedPart>? skipped)
    {
        skipped = null;
        if (!before)
        {
            interleaver.CheckCancelled();
            return arguments;
        }
        var changed = (Arguments)interleaver.Pass(new Point(module, After: false), arguments)!;
        skipped = interleaver.TakeSkips(new Point(module, After: false));
        return changed;
    }

    /// <summary>At its output the module's input can still be read: <c>mlp.Output += mlp.Input.MatMul(a)</c> reads the output first.</summary>
    private object? After(Arguments arguments, object? result)
    {
        if (!before || !after) return After(result);
        using var ended = interleaver.Ended(new Point(module, After: false), arguments);
        return After(result);
    }

    public object? After(object? result) => after ? interleaver.Pass(new Point(module, After: true), result) : result;

    private object? Run(SiteModule called, Arguments arguments) => operations is null ? called.Run(arguments) : called.RunWatched(operations, arguments);
}
