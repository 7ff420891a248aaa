using Ndif.Engine.Compiling;
using Ndif.Models;
using Ndif.Models.ForwardSource;
using TorchSharp;

namespace Ndif.Engine.Interleaving;

/// <summary>One module's hook: brings its calls before the interleaver.</summary>
/// <param name="operations">Those inside of its forward that are watched, or null.</param>
internal sealed class InterleavingModuleHook(Interleaver interleaver, int module, bool hasBefore, bool hasAfter, SourceHooks? operations = null) : SiteHook
{
    public override object? Call(SiteModule called, Arguments arguments)
    {
        arguments = Before(arguments, out List<SkippedRows>? skipped);
        if (skipped is null) return After(arguments, Run(called, arguments));
        var point = new HookPoint(module, IsAfter: true);
        object? joined = SkippedRows.Join(skipped, interleaver.Sites.OutputAxes(point));
        // what returns a tuple is read as one, also if it was skipped with its first tensor
        if (joined is torch.Tensor && !called.ReturnsTensor) joined = new object?[] { joined };
        return After(joined ?? SkippedRows.Splice(skipped, Run(called, arguments), interleaver.Sites.OutputAxes(point), interleaver.Sites.NameOf(point)));
    }

    public Arguments Before(Arguments arguments, out List<SkippedRows>? skipped)
    {
        skipped = null;
        if (!hasBefore)
        {
            interleaver.CheckCancelled();
            return arguments;
        }
        var changed = (Arguments)interleaver.OnHookPoint(new HookPoint(module, IsAfter: false), arguments)!;
        skipped = interleaver.ConsumeSkips(new HookPoint(module, IsAfter: false));
        return changed;
    }

    /// <summary>At its output the module's input can still be read: <c>mlp.Output += mlp.Input.MatMul(a)</c> reads the output first.</summary>
    private object? After(Arguments arguments, object? result)
    {
        if (!hasBefore || !hasAfter) return After(result);
        using var ended = interleaver.BeginEndedCall(new HookPoint(module, IsAfter: false), arguments);
        return After(result);
    }

    public object? After(object? result) => hasAfter ? interleaver.OnHookPoint(new HookPoint(module, IsAfter: true), result) : result;

    private object? Run(SiteModule called, Arguments arguments) => operations is null ? called.Run(arguments) : called.RunWithHooks(operations, arguments);
}
