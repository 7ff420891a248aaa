using Ndif.Engine.Compiling;
using Ndif.Models;
using Ndif.Models.ForwardSource;
using Ndif.Models.Layers;
using TorchSharp;

namespace Ndif.Engine.Interleaving;

/// <summary>The hook of a module, which passes the arguments and results of its calls to the interleaver.</summary>
/// <param name="operations">The hooks of operations inside its forward, or null.</param>
internal sealed class InterleavingModuleHook(Interleaver interleaver, int module, bool hasBefore, bool hasAfter,
    SourceHooks? operations = null) : SiteHook
{
    public override object? Call(SiteModule called, Arguments arguments)
    {
        using IDisposable? expertCall = called is Expert && (hasBefore || hasAfter || operations is not null)
            ? interleaver.BeginExpertCall(arguments.Tensor(1)) : null;
        arguments = Before(arguments, out IReadOnlyList<SkippedRows>? skipped);
        if (skipped is null) return After(arguments, Run(called, RemoveColumns(arguments)), null);
        var point = new HookPoint(module, IsAfter: true);
        object? joined = SkippedRows.Join(skipped, interleaver.Sites.OutputAxes(point));
        // the output of a module that returns a tuple is read as a tuple, even if it was skipped with its first tensor only
        if (joined is torch.Tensor && !called.ReturnsTensor) joined = new object?[] { joined };
        joined ??= SkippedRows.Splice(
            skipped, Run(called, arguments), interleaver.Sites.OutputAxes(point), interleaver.Sites.NameOf(point));
        return After(arguments, joined, skipped);
    }

    /// <summary>Reports the arguments of a call.</summary>
    /// <param name="skipped">The rows whose output an invoke has replaced, or null if the module runs for all rows.</param>
    public Arguments Before(Arguments arguments, out IReadOnlyList<SkippedRows>? skipped)
    {
        skipped = null;
        if (!hasBefore)
        {
            interleaver.OnPreemptionPoint();
            return arguments;
        }
        var point = new HookPoint(module, IsAfter: false);
        object? shown = interleaver.Reuse is { } reuse ? reuse.AddColumns(point, arguments) : arguments;
        var changed = (Arguments)interleaver.OnHookPoint(point, shown)!;
        skipped = interleaver.ConsumeSkips(point);
        return changed;
    }

    /// <summary>
    /// Reports the output while the arguments can still be read: <c>mlp.Output += mlp.Input.MatMul(a)</c> reads the output first.
    /// </summary>
    private object? After(Arguments arguments, object? result, IReadOnlyList<SkippedRows>? skipped)
    {
        if (!hasBefore || !hasAfter) return After(result);
        using var ended = interleaver.BeginEndedCall(new HookPoint(module, IsAfter: false), arguments);
        if (skipped is not null) interleaver.OmitAdapters(new HookPoint(module, IsAfter: true), skipped);
        return After(result);
    }

    /// <summary>Reports the result of a call.</summary>
    public object? After(object? result)
    {
        if (!hasAfter) return result;
        var point = new HookPoint(module, IsAfter: true);
        return interleaver.Reuse is not { } reuse ? interleaver.OnHookPoint(point, result)
            : reuse.RemoveColumns(point, interleaver.OnHookPoint(point, reuse.AddColumns(point, result)));
    }

    /// <summary>The arguments without the columns that a program sees and the pass does not compute.</summary>
    private Arguments RemoveColumns(Arguments arguments) =>
        hasBefore && interleaver.Reuse is { } reuse
            ? (Arguments)reuse.RemoveColumns(new HookPoint(module, IsAfter: false), arguments)! : arguments;

    private object? Run(SiteModule called, Arguments arguments)
    {
        interleaver.OnModuleStarted(module);
        if (interleaver.Reuse?.TryGetOutput(module, arguments, isObserved: hasAfter) is { } earlier) return earlier;
        if (called is Embedding embedding) embedding.CheckIds(arguments);
        if (interleaver.RequiredTokenIds is { } ids && interleaver.IsLmHead(module) && called is Linear head
            && head.TryForward(arguments.Tensor(0, "input"), ids) is { } logits) return logits;
        object? result = operations is null ? called.Run(arguments) : called.RunWithHooks(operations, arguments);
        interleaver.OnModuleEnded(result);
        interleaver.Reuse?.AddOutput(module, result);
        return result;
    }
}
