using System.Runtime.InteropServices;
using Ndif.Engine.Compiling;
using Ndif.Engine.Gradients;
using Ndif.Engine.Kernels;
using Ndif.Engine.Running;
using Ndif.Models;
using Ndif.Protocol;
using TorchSharp;

namespace Ndif.Engine.Interleaving;

/// <summary>The execution of each kind of statement.</summary>
internal sealed partial class Interpreter
{
    private void MarkEdit(HookPoint? point)
    {
        if (point is { } edited && _plan.Model.AffectsCache(edited)) HasEditedCache = true;
    }

    /// <summary>Marks the edit of a value in place, which is one of other rows if another invoke has read the value.</summary>
    private void MarkEditInPlace(CallStatement call)
    {
        if (LastHookPoint is not { } point || EnclosingTrace is not { } trace || !_plan.Model.AffectsCache(point)) return;
        if (_plan.FindEditedValue(call) is ReadStatement read && _reads.Contains(read.Id)) HasEditedCache = true;
        else foreach (Interpreter invoke in trace.Invokes) invoke.HasEditedCache = true;
    }

    /// <summary>Executes a statement. Returns true if it is complete, false if it waits or has entered a region.</summary>
    private bool Execute(Statement statement)
    {
        switch (statement)
        {
            case CallStatement call:
                if (call.Schema.InPlace) MarkEditInPlace(call);
                Compute(call);
                return true;
            case ReadStatement read:
                if (!TryReach(read.Point, read.Call, isRead: true)) return false;
                _reads.Add(read.Id);
                object? slice = Interleaver!.Read(this, read, out BatchShare? batch);
                _slots.Set(read.Id, slice, new ValueOrigin(Batch: batch));
                return true;
            case WriteStatement write:
                if (!TryReach(write.Point, write.Call)) return false;
                Job.LastWriteNode = write.Id;
                MarkEdit(write.Point);
                Interleaver!.Write(this, write, _slots.OnWritten(write.Value.Evaluate(_slots)));
                return true;
            case SkipStatement skip:
                if (!TryReach(skip.Point, skip.Call)) return false;
                Job.LastWriteNode = skip.Id;
                MarkEdit(skip.Point);
                Interleaver!.Skip(this, skip.Point, _slots.OnWritten(skip.Value.Evaluate(_slots)));
                return true;
            case StartAtStatement start:
                Job.LastWriteNode = start.Id;
                HasEditedCache = true;
                Interleaver!.StartAt(this, start, _slots.OnWritten(start.Value.Evaluate(_slots)));
                return true;
            case CallModuleStatement module:
                return Call(module);
            case DefineModuleStatement module:
                foreach (uint node in module.CapturedNodes) Job.Retain(node);
                return true;
            case CallDefinedStatement call:
                return CallDefinedModule(call);
            case ParameterStatement parameter:
                torch.Tensor weight = _plan.Model.Parameter(parameter.Module, parameter.Name);
                Job.Limits.RequireMemory("A copy of the parameter", ValueMemory.ShapeBytesOf(weight), 0);
                _slots.Set(parameter.Id, TensorOwnership.TakeOwnership(weight.clone()));
                return true;
            case SaveStatement save:
                Job.Save(save.Id, save.Name, save.Value);
                return true;
            case ContainerStatement container:
                _slots.Set(container.Id, NewContainer(container));
                return true;
            case AppendStatement append:
                if (_slots[append.Container] is not List<object?> list)
                    throw Errors.CreateException(ErrorCode.BadArgument, "Only a list can be appended to.");
                list.Add(NewItem(append.Container, append.Value));
                _slots.AddBytes(append.Container, list[^1], OriginOfItem(append.Container, append.Value.Evaluate(_slots)));
                return true;
            case LogStatement log:
                object?[] logged = Array.ConvertAll(log.Values, v => v.Evaluate(_slots));
                Job.Limits.RequireMemory("The log line", 2 * ValueMemory.ShapeBytesOf(logged) + ValueMemory.MessageBytesOf(logged), 0);
                Job.Log(log.Id, string.Join(" ", logged.Select(ValueFormatter.Format)));
                return true;
            case BarrierStatement barrier:
                if (Interleaver.ArriveAtBarrier(this, barrier)) return true;
                (WaitReason, AwaitedBarrier) = (WaitReason.Barrier, barrier);
                return false;
            case StopStatement:
                (HasStopped, WaitReason) = (true, WaitReason.Done);
                return false;
            case ResultStatement result:
                if (!HasEnded)
                {
                    WaitReason = WaitReason.Result;
                    return false;
                }
                _slots.Set(result.Id, Compute(EnclosingTrace!));
                return true;
            case StepsStatement steps:
                return EnterLoop(new UnrolledStepLoop(steps));
            case EachStepStatement each:
                return EnterLoop(new RangeStepLoop(each));
            case ForEachStatement each:
                return EnterLoop(new ForEachLoop(each, Job));
            case WhileStatement loop:
                return EnterLoop(new WhileLoop(loop));
            case BreakStatement:
                BreakLoop();
                return false;
            case IfStatement choice:
                foreach (var (condition, region) in choice.Branches)
                {
                    if (condition is not null && !Truthiness.Of(condition.Evaluate(_slots))) continue;
                    _frames.Push(new Frame(_plan.Regions[region]));
                    return false;
                }
                return true;
            case CacheStatement cache:
                var entries = new Dictionary<string, object?>();
                _slots.Set(cache.Id, entries);
                Job.SaveAtEnd(cache.Id, cache.Name);
                EnclosingTrace!.Caches.Add(new ActivationCollector(this, cache, entries));
                return true;
            case BackwardStatement backward:
                Run(backward);
                return true;
            case ReadGradientStatement read:
                if (!TryReach(read.Node)) return false;
                _slots.Set(read.Id, GradientOf(read.Node));
                return true;
            case WriteGradientStatement write:
                if (!TryReach(write.Node)) return false;
                SetGradient(write.Node, write.Value.Evaluate(_slots));
                return true;
            case NewParameterStatement parameter:
                object? initial = parameter.Initial.Evaluate(_slots);
                Job.Limits.RequireMemory("A new parameter", ValueMemory.ShapeBytesOf(initial), 0);
                _slots.Set(parameter.Id, ProgramOptimizer.NewParameter(initial));
                return true;
            case NewOptimizerStatement optimizer:
                torch.Tensor[] parameters = [.. optimizer.Description.Parameters.Select(p => (torch.Tensor)_slots[p]!)];
                foreach (torch.Tensor trained in parameters) RefuseEditOfWeight(trained);
                _slots.Set(optimizer.Id, new ProgramOptimizer(optimizer.Description, parameters));
                return true;
            case OptimizerStepStatement step:
                var programOptimizer = (ProgramOptimizer)_slots[step.Optimizer]!;
                if (step.Zero) programOptimizer.ZeroGrad();
                else programOptimizer.Step();
                return true;
            case LocalCallStatement local:
                _slots.Set(local.Id,
                    Job.InvokeCallback(local.Id, local.Callback, Array.ConvertAll(local.Values, v => v.Evaluate(_slots)), local.Timeout));
                return true;
            case PutStatement put:
                if (_slots[put.Container] is not Dictionary<string, object?> map)
                    throw Errors.CreateException(ErrorCode.BadArgument, "Only a dictionary has entries by name.");
                object? entry = NewItem(put.Container, put.Value);
                map.Remove(put.Key, out object? previous);
                map[put.Key] = entry;
                ReplaceItem(put.Container, previous, entry, put.Value.Evaluate(_slots));
                return true;
            case SetVariableStatement set:
                if (_slots[set.Container] is not List<object?> { Count: 1 } variable)
                    throw Errors.CreateException(ErrorCode.BadArgument, "Only a variable can be set.");
                object? value = NewItem(set.Container, set.Value);
                object? before = variable[0];
                variable[0] = value;
                ReplaceItem(set.Container, before, value, set.Value.Evaluate(_slots));
                return true;
            case TraceStatement trace:
                (WaitReason, AwaitedTrace) = (WaitReason.ForwardPass, trace);
                return false;
            default:
                throw Errors.CreateException(ErrorCode.Unsupported,
                    $"`{statement.GetType().Name}` is not supported by this version of the engine.");
        }
    }

    /// <summary>Whether the pass is at a call of a hook point; if not, the invoke waits for it.</summary>
    /// <param name="call">Null for the step of the innermost iteration.</param>
    private bool TryReach(HookPoint point, int? call, bool isRead = false)
    {
        StepLoop? loop = _frames.Select(f => f.Loop).OfType<StepLoop>().FirstOrDefault();
        int step = call ?? loop?.Step ?? 0;
        if (Interleaver!.IsAt(this, point, step, isRead))
        {
            if (loop is not null && call is null) loop.HasReachedModule = true;
            return true;
        }
        (WaitReason, AwaitedPoint) = (WaitReason.HookPoint, (point, step));
        return false;
    }

    private void Compute(CallStatement call)
    {
        using var scope = torch.NewDisposeScope();
        object?[] arguments = Array.ConvertAll(call.Arguments, a => a.Evaluate(_slots));
        if (call.Arguments.Length > 0 && call.Arguments[0] is NodeOperand { Node: var first } && Job.ReadOnlyInputs.Contains(first))
        {
            if (call.Schema.InPlace)
                throw Errors.CreateException(ErrorCode.OutOfOrder, "This input cannot be edited any more: its module has run with it.",
                    "Edit it before the module's output is accessed.");
            if (call.Schema.Name == "getitem") Job.ReadOnlyInputs.Add(call.Id); // a slice of a read-only input is read-only
        }
        if (call is { Schema.Name: "setitem_", Arguments: [NodeOperand, _, _] }
            && arguments[0] is List<object?> or Dictionary<string, object?> or object?[])
        {
            _slots.Set(call.Id, SetItem(call, arguments));
            return;
        }
        if (call.Schema.InPlace)
        {
            RefuseEditOfWeight(arguments.FirstOrDefault());
            WarnOfLateEdit(call);
        }
        HashSet<torch.Tensor> borrowed = TensorOwnership.NewTensorSet();
        TensorOwnership.CollectTensors(arguments, borrowed);
        object? result = KernelTable.Run(call.Schema, arguments, Job.Context);
        if (result is not torch.Tensor) Job.Limits.RequireMemory($"{call.Schema.Name}()", ValueMemory.ItemBytesOf(result), 0); // a copy
        if (call is { IsView: true, Schema.InPlace: false }) result = WithoutEmptyViews(result);
        if (call.IsOnlySaved) Job.OnOnlySavedValue(call.Id, isOwn: !call.IsView && !HeldStorages.SharesMemory(result, borrowed));
        double workspaceBytes = Job.Limits.Backward?.TakeWorkspaceBytes() ?? 0;
        _slots.Set(call.Id, TensorOwnership.TakeOwnership(result, borrowed), new ValueOrigin(arguments, workspaceBytes, call.IsEdit));
    }

    /// <summary>Replaces views without elements, which would keep the memory of the tensors that they were taken from.</summary>
    private static object? WithoutEmptyViews(object? result) => result switch
    {
        torch.Tensor { requires_grad: false } view when view.numel() == 0 => torch.empty(view.shape, view.dtype, view.device),
        List<object?> or object?[] => TensorOwnership.MapTensors(result, view => (torch.Tensor)WithoutEmptyViews(view)!),
        _ => result,
    };

    /// <summary>A weight that an operation inside a module receives or returns is that of every program.</summary>
    private void RefuseEditOfWeight(object? edited)
    {
        if (edited is not torch.Tensor tensor || !_plan.Model.IsWeight(tensor)) return;
        throw Errors.CreateException(ErrorCode.BadArgument,
            "This value is a weight of the model, which all programs share: it cannot be edited in place.",
            "Edit its Clone(), and assign that to the operation's Inputs or Output.");
    }

    /// <summary>
    /// Warns of an in-place edit of a value of the model when the model has gone on: C# reads <c>h.Hidden</c> in
    /// <c>h.Hidden[..] = later.Output</c> first, so the edit comes too late.
    /// </summary>
    private void WarnOfLateEdit(CallStatement call)
    {
        if (call.Schema.Name == "requires_grad_" || EnclosingTrace is null
            || _plan.FindEditedValue(call) is not ReadStatement { Point.IsDefined: false } read
            || Interleaver!.IsActive(read.Point)) return;
        string advice = MissedAccessAdvice.FindLaterSource(this, read.Point, read.Call ?? 0, Interleaver.Sites) is { } source
            ? $"It depends on {source}, which the model computes later in the same pass. Save that value in a trace before this one and "
                + "use what was saved here, or put both traces into one session."
            : "Edit it before a later module is accessed, or edit a Clone().";
        Job.Warn(call.Id, Interleaver.Sites.PathOf(read.Point),
            $"The model has already used this value of `{Interleaver.Sites.NameOf(read.Point)}`: the edit changes what the program reads, "
            + $"and not what the model computes. {advice}");
    }

    private object? Compute(TraceRun trace)
    {
        using var scope = torch.NewDisposeScope();
        return TensorOwnership.TakeOwnership(trace.Result?.Invoke(this));
    }
}
