using Ndif.Engine.Compiling;
using Ndif.Engine.Kernels.Costs;
using Ndif.Engine.Running;
using Ndif.Models;
using Ndif.Protocol;
using TorchSharp;

namespace Ndif.Engine.Interleaving;

/// <summary>Calls of modules of the model on values of the program, with the adapters that are part of the modules.</summary>
internal sealed partial class Interpreter
{
    private bool _completesCall;
    private object? _callResult;

    /// <summary>The call that it has deferred.</summary>
    public CallModuleStatement? DeferredCall { get; private set; }

    /// <summary>The argument of <see cref="DeferredCall"/>, borrowed.</summary>
    public torch.Tensor DeferredArgument => (torch.Tensor)DeferredCall!.Arguments[0].Evaluate(_slots)!;

    /// <summary>Completes the call that it has deferred, and runs until it waits or is done.</summary>
    /// <param name="result">The result, owned by this object; null if the call has to be computed.</param>
    public void CompleteCall(object? result)
    {
        (_completesCall, _callResult, DeferredCall) = (true, result, null);
        Run();
        TensorOwnership.DisposeTensors(_callResult);
        (_completesCall, _callResult) = (false, null);
    }

    /// <summary>Executes a call, or defers it. Returns whether it is complete.</summary>
    private bool Call(CallModuleStatement call)
    {
        if (!_completesCall && Interleaver?.TryDefer(this, call) == true)
        {
            (WaitReason, DeferredCall) = (WaitReason.ModuleCall, call);
            return false;
        }
        object? result = _callResult ?? Compute(call);
        (_completesCall, _callResult) = (false, null);
        _slots.Set(call.Id, result, OriginOf(call));
        return true;
    }

    /// <summary>
    /// The argument of a call that may be deferred: a tensor, and what follows until the invoke waits for the pass again neither sees nor
    /// changes the model. Null if the call has to be computed at once.
    /// </summary>
    public torch.Tensor? FindDeferrableArgument(CallModuleStatement call) =>
        IsPlain(call) && Slice is not null && call.Arguments[0].Evaluate(_slots) is torch.Tensor argument
        && WaitsBeforeItTouchesModel() ? argument : null;

    /// <summary>Whether a call takes one value, and no part of the program runs inside it.</summary>
    public static bool IsPlain(CallModuleStatement call) => call is { Arguments.Length: 1, Keywords.Length: 0, Adapters.Length: 0 };

    /// <summary>Whether no other invoke of the job can tell when a statement runs.</summary>
    private bool IsPrivate(Statement statement) => statement switch
    {
        ReadStatement read => read is { Point.IsDefined: false, RequiresGrad: false },
        CallModuleStatement call => IsPlain(call) && NeedsOwnTensors(call),
        CallStatement call => call is { Schema.InPlace: false, IsRandom: false } && NeedsOwnTensors(call),
        _ => false,
    } && Job.Slots.HasAmpleRoom;

    private bool NeedsOwnTensors(Statement statement) =>
        statement.Needs.All(node => _plan.OwnerRegions[node] == Region && _plan.Statements[node] is not ContainerStatement);

    /// <summary>Whether the statements after this one until the next that waits for the pass neither see nor change the model.</summary>
    private bool WaitsBeforeItTouchesModel()
    {
        int step = _frames.Select(frame => frame.Loop).OfType<StepLoop>().FirstOrDefault()?.Step ?? 0;
        foreach (Frame frame in _frames) // the innermost first
        {
            if (frame.Block is not null || frame.Loop is not (null or StepLoop)) return false;
            if (Waits(frame.Nodes.AsSpan(frame.NextIndex + 1), step) is { } waits) return waits;
            if (frame.Loop is null) continue;
            if (((StepLoop)frame.Loop).Next is { } next) return Waits(_plan.Regions[next.Region], next.Step) == true;
            step = 0; // after the loop
        }
        return true; // it ends
    }

    /// <summary>Whether statements come to one that waits for the pass, before one that touches the model; null if to neither.</summary>
    /// <param name="step">The call that an access without one of its own refers to.</param>
    private bool? Waits(ReadOnlySpan<uint> nodes, int step)
    {
        foreach (uint node in nodes)
        {
            switch (_plan.Statements[node])
            {
                case CallStatement { Schema.InPlace: false } or ContainerStatement or AppendStatement or PutStatement
                    or SetVariableStatement or SaveStatement or LogStatement or ParameterStatement:
                case CallModuleStatement { Adapters.Length: 0 }:
                    break;
                case ReadStatement { Point.IsDefined: false } read:
                    return Interleaver!.IsAhead(this, read.Point, read.Call ?? step);
                case WriteStatement { Point.IsDefined: false } write:
                    return Interleaver!.IsAhead(this, write.Point, write.Call ?? step);
                case SkipStatement skip:
                    return Interleaver!.IsAhead(this, skip.Point, skip.Call ?? step);
                case ResultStatement:
                    return !HasEnded;
                default:
                    return false;
            }
        }
        return null;
    }

    private object? Compute(CallModuleStatement call)
    {
        using var scope = torch.NewDisposeScope();
        Arguments given = EvaluateArguments(call);
        try
        {
            RequireCost(call.Module, given);
            object? result =
                _plan.Model.CallModule(call.Module, given, CreateHooks(call.Adapters), Job.Limits.BetweenParts);
            return TensorOwnership.TakeOwnership(BatchSlice.Whole().Narrow(result, _ => Axes.Shared));
        }
        catch (Exception e)
        {
            throw ForwardErrorTranslator.Translate(e, $"The call of `{ModulePaths.DisplayName(_plan.Model.Paths[call.Module])}`",
                "Check the shapes and element types of its arguments.");
        }
    }

    private ValueOrigin OriginOf(CallModuleStatement call)
    {
        if (!_plan.Autograd.IsUsed) return default;
        using var scope = torch.NewDisposeScope();
        Arguments arguments = EvaluateArguments(call);
        return new ValueOrigin([arguments], _plan.Model.CostOfCall(call.Module, arguments).WorkspaceBytes);
    }

    private Arguments EvaluateArguments(CallModuleStatement call) => new(
        Array.ConvertAll(call.Arguments, a => a.Evaluate(_slots)),
        Array.ConvertAll(call.Keywords, k => KeyValuePair.Create(k.Key, k.Value.Evaluate(_slots))));

    /// <summary>Checks that a call fits into the memory and the time that the job has left.</summary>
    private void RequireCost(int module, Arguments arguments)
    {
        OpCost cost = _plan.Model.CostOfCall(module, arguments);
        string what = $"A call of `{ModulePaths.DisplayName(_plan.Model.Paths[module])}`";
        Job.Limits.RequireMemory(what, cost.OutputBytes, cost.WorkspaceBytes);
        Job.Limits.RequireTime(what, Throughput.Seconds(cost, _plan.Model.Device.type));
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
