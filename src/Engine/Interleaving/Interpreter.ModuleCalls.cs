using Ndif.Engine.Compiling;
using Ndif.Engine.Running;
using Ndif.Models;
using Ndif.Protocol;
using TorchSharp;

namespace Ndif.Engine.Interleaving;

/// <summary>Calls of modules of the model on values of the program, with the adapters that are part of the modules.</summary>
internal sealed partial class Interpreter
{
    private object? Compute(CallModuleStatement call)
    {
        using var scope = torch.NewDisposeScope();
        object?[] arguments = Array.ConvertAll(call.Arguments, a => a.Evaluate(_slots));
        KeyValuePair<string, object?>[] keywords =
            Array.ConvertAll(call.Keywords, k => KeyValuePair.Create(k.Key, k.Value.Evaluate(_slots)));
        try
        {
            object? result = _plan.Model.CallModule(call.Module, new Arguments(arguments, keywords), CreateHooks(call.Adapters));
            return TensorOwnership.TakeOwnership(BatchSlice.Whole().Narrow(result, _ => Axes.Shared));
        }
        catch (Exception e)
        {
            throw ForwardErrorTranslator.Translate(e, $"The call of `{ModulePaths.DisplayName(_plan.Model.Paths[call.Module])}`",
                "Check the shapes and element types of its arguments.");
        }
    }

    /// <summary>The hooks that apply adapters in a call, by module index; null if there are none.</summary>
    private SiteHook?[]? CreateHooks(ModuleCallAdapter[] adapters)
    {
        if (adapters.Length == 0) return null;
        var hooks = new SiteHook?[_plan.Model.Paths.Count];
        foreach (var ofModule in adapters.GroupBy(adapter => adapter.Module))
            hooks[ofModule.Key] = new ModuleAdapterHook((arguments, output) =>
                ofModule.Aggregate(output, (value, adapter) => RunAdapter(adapter, arguments, value)));
        return hooks;
    }

    /// <summary>Runs the region of an adapter. The result belongs to the current dispose scope.</summary>
    private object? RunAdapter(ModuleCallAdapter adapter, Arguments arguments, object? output)
    {
        (int depth, uint node) = (_frames.Count, CurrentNode);
        var block = new StatementBlock();
        try
        {
            _slots.Set(adapter.Input, TensorOwnership.TakeOwnership(TensorOwnership.Alias(arguments.First)));
            _slots.Set(adapter.Output, TensorOwnership.TakeOwnership(TensorOwnership.Alias(output)));
            _frames.Push(new Frame(_plan.Regions[adapter.Region]) { Block = block });
            RunBlock(block);
            if (Job.HasFailed) return output;
            if (!block.IsComplete)
                throw Errors.CreateException(ErrorCode.Deadlock,
                    $"The adapter of `{_plan.Model.Paths[adapter.Module]}` waits for a value that another invoke computes.");
            return TensorOwnership.Alias(adapter.Result.Evaluate(_slots));
        }
        finally
        {
            while (_frames.Count > depth) _frames.Pop();
            foreach (uint used in _plan.DescendantsOf(adapter.Region).Append(adapter.Input).Append(adapter.Output))
                if (!Job.IsRetained(used)) _slots.Free(used);
            CurrentNode = node;
        }
    }

    /// <summary>Changes the output of a module.</summary>
    /// <param name="adapt">Returns the changed output, given the arguments and the output.</param>
    private sealed class ModuleAdapterHook(Func<Arguments, object?, object?> adapt) : SiteHook
    {
        public override object? Call(SiteModule module, Arguments arguments) => adapt(arguments, module.Run(arguments));
    }
}
