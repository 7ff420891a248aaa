using Ndif.Engine.Compiling;
using Ndif.Models;

namespace Ndif.Engine.Interleaving;

/// <summary>One module's hook: brings its calls before the interleaver.</summary>
internal sealed class ModuleWatch(Interleaver interleaver, int module, bool before, bool after) : SiteObserver
{
    public override object? Call(SiteModule called, Arguments arguments)
    {
        arguments = Before(arguments, out SkippedPart[]? skipped);
        object? result = skipped is not null && SkippedPart.CoverAll(skipped)
            ? SkippedPart.Join(skipped, interleaver.OutputAxes(module))
            : called.Run(arguments);
        if (skipped is not null && !SkippedPart.CoverAll(skipped)) result = SkippedPart.Splice(skipped, result, interleaver.OutputAxes(module), interleaver.Name(new Point(module, true)));
        return After(result);
    }

    public Arguments Before(Arguments arguments, out SkippedPart[]? skipped)
    {
        skipped = null;
        if (!before)
        {
            interleaver.CheckCancelled();
            return arguments;
        }
        var changed = (Arguments)interleaver.Pass(new Point(module, After: false), arguments)!;
        skipped = interleaver.TakeSkips(module)?.Select(s => new SkippedPart(s.Invoke.View!, s.Value)).ToArray();
        return changed;
    }

    public object? After(object? result) => after ? interleaver.Pass(new Point(module, After: true), result) : result;
}
