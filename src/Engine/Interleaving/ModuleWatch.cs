using Ndif.Engine.Compiling;
using Ndif.Models;
using TorchSharp;

namespace Ndif.Engine.Interleaving;

/// <summary>One module's hook: brings its calls before the interleaver.</summary>
internal sealed class ModuleWatch(Interleaver interleaver, int module, bool before, bool after) : SiteObserver
{
    public override object? Call(SiteModule called, Arguments arguments)
    {
        arguments = Before(arguments, out List<SkippedPart>? skipped);
        if (skipped is null) return After(called.Run(arguments));
        object? joined = SkippedPart.Join(skipped, interleaver.Sites.OutputAxes(module));
        // what returns a tuple is read as one, also if it was skipped with its first tensor
        if (joined is torch.Tensor && called is not TensorModule) joined = new object?[] { joined };
        return After(joined ?? SkippedPart.Splice(skipped, called.Run(arguments), interleaver.Sites.OutputAxes(module), interleaver.Sites.Name(new Point(module, After: true))));
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
        skipped = interleaver.TakeSkips(module);
        return changed;
    }

    public object? After(object? result) => after ? interleaver.Pass(new Point(module, After: true), result) : result;
}
