using Ndif.Engine.Compiling;
using Ndif.Engine.Running;
using Ndif.Models;
using Ndif.Protocol;
using TorchSharp;

namespace Ndif.Engine.Interleaving;

/// <summary>Calls of modules that the program defines.</summary>
internal sealed partial class Interpreter
{
    /// <summary>Runs the forward of a module that the program defines, including its hook points.</summary>
    private bool CallDefinedModule(CallDefinedStatement call)
    {
        if (!Job.ActiveModuleCalls.TryAdd(call.Path, this)) // another invoke is calling it, and its statements have one set of values
        {
            (WaitReason, AwaitedModule) = (WaitReason.Module, call.Path);
            return false;
        }
        int depth = _frames.Count;
        var block = new StatementBlock();
        try
        {
            using var scope = torch.NewDisposeScope();
            object? argument = call.Argument.Evaluate(_slots);
            // copies of a list: the argument, the input of the forward, the result
            Job.Limits.RequireMemory($"A call of `{call.Path}`", 3.0 * ValueMemory.ItemBytesOf(argument), 0);
            var input = new Arguments(TensorOwnership.Alias(argument));
            var arguments = (Arguments)OnDefinedHookPoint(call.Path, isAfter: false, input)!;
            _slots.Set(call.Input, TensorOwnership.TakeOwnership(TensorOwnership.Alias(arguments.First)));
            _frames.Push(new Frame(_plan.Regions[call.Forward]) { Block = block });
            RunBlock(block);
            if (Job.HasFailed) return false;
            if (!block.IsComplete)
                throw Errors.CreateException(ErrorCode.Deadlock,
                    $"The forward of `{call.Path}` waits for a value that another invoke computes.", "Give it as an input.");
            object? result = OnDefinedHookPoint(call.Path, isAfter: true, TensorOwnership.Alias(call.Result.Evaluate(_slots)));
            if (Job.HasFailed) return false;
            _slots.Set(call.Id, TensorOwnership.TakeOwnership(TensorOwnership.Alias(result)));
            foreach (uint node in _plan.DescendantsOf(call.Forward).Append(call.Input))
                if (!Job.IsRetained(node)) _slots.Free(node);
            return true;
        }
        finally
        {
            while (_frames.Count > depth) _frames.Pop();
            _slots.OnCallEnded();
            Job.ActiveModuleCalls.Remove(call.Path);
        }
    }

    private object? OnDefinedHookPoint(string module, bool isAfter, object? value) =>
        Slice is null ? value
        : Interleaver!.OnDefinedHookPoint(this, new HookPoint(HookPoint.ProgramModule, isAfter, DefinedPath: module), value);
}
