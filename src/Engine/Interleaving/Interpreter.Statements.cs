using System.Runtime.InteropServices;
using Ndif.Engine.Compiling;
using Ndif.Engine.Gradients;
using Ndif.Engine.Kernels;
using Ndif.Engine.Running;
using Ndif.Models;
using Ndif.Protocol;
using TorchSharp;

namespace Ndif.Engine.Interleaving;

/// <summary>What each kind of statement does.</summary>
internal sealed partial class Interpreter
{
    /// <summary>True if the statement is complete; false if it waits or has opened a region.</summary>
    private bool Execute(Statement statement)
    {
        switch (statement)
        {
            case CallStatement call:
                _slots.Set(call.Id, Compute(call));
                return true;
            case ReadStatement read:
                if (!Reach(read.At, read.Call, reads: true)) return false;
                _slots.Set(read.Id, Interleaver!.Read(this, read));
                return true;
            case WriteStatement write:
                if (!Reach(write.At, write.Call)) return false;
                Job.LastWrite = write.Id;
                Interleaver!.Write(this, write, write.Value.Evaluate(_slots));
                return true;
            case SkipStatement skip:
                if (!Reach(skip.At, skip.Call)) return false;
                Job.LastWrite = skip.Id;
                Interleaver!.Skip(this, skip.At, skip.Value.Evaluate(_slots));
                return true;
            case StartAtStatement start:
                Job.LastWrite = start.Id;
                Interleaver!.StartAt(this, start, start.Value.Evaluate(_slots));
                return true;
            case CallModuleStatement module:
                _slots.Set(module.Id, Compute(module));
                return true;
            case DefineModuleStatement module:
                foreach (uint node in module.Held) Job.Hold(node);
                return true;
            case CallDefinedStatement call:
                return Call(call);
            case ParameterStatement parameter:
                _slots.Set(parameter.Id, Ownership.Take(_plan.Subject.Parameter(parameter.Module, parameter.Name).clone()));
                return true;
            case SaveStatement save:
                Job.Save(save.Id, save.Name, save.Value);
                return true;
            case ContainerStatement container:
                _slots.Set(container.Id, New(container));
                return true;
            case AppendStatement append:
                if (_slots[append.Container] is not List<object?> list)
                    throw Errors.Throwable(ErrorCode.BadArgument, "Only a list can be appended to.");
                list.Add(Ownership.Take(Ownership.Second(append.Value.Evaluate(_slots))));
                _slots.Grow(append.Container, list[^1]);
                return true;
            case LogStatement log:
                Job.Log(log.Id, string.Join(" ", log.Values.Select(v => ValueText.Of(v.Evaluate(_slots)))));
                return true;
            case BarrierStatement barrier:
                if (Interleaver!.Arrive(this, barrier)) return true;
                (Waits, Barrier) = (Wait.Barrier, barrier);
                return false;
            case StopStatement:
                (Stopped, Waits) = (true, Wait.Done);
                return false;
            case ResultStatement result:
                if (!Within!.HasEnded)
                {
                    Waits = Wait.Result;
                    return false;
                }
                _slots.Set(result.Id, Compute(Within));
                return true;
            case StepsStatement steps:
                return Enter(new UnrolledSteps(steps));
            case EachStepStatement each:
                return Enter(new EachStep(each));
            case ForEachStatement each:
                return Enter(new ItemLoop(each, Job));
            case WhileStatement loop:
                return Enter(new WhileLoop(loop));
            case BreakStatement:
                BreakOut();
                return false;
            case IfStatement choice:
                foreach (var (condition, region) in choice.Branches)
                {
                    if (condition is not null && !Truth.Of(condition.Evaluate(_slots))) continue;
                    _frames.Push(new Frame(_plan.Regions[region]));
                    return false;
                }
                return true;
            case CacheStatement cache:
                var entries = new Dictionary<string, object?>();
                _slots.Set(cache.Id, entries);
                Job.Keep(cache.Id, cache.Name);
                Interleaver!.Start(new RunningCache(this, cache, entries));
                return true;
            case BackwardStatement backward:
                Run(backward);
                return true;
            case ReadGradientStatement read:
                if (!Reach(read.Node)) return false;
                _slots.Set(read.Id, GradientOf(read.Node));
                return true;
            case WriteGradientStatement write:
                if (!Reach(write.Node)) return false;
                SetGradient(write.Node, write.Value.Evaluate(_slots));
                return true;
            case NewParameterStatement parameter:
                _slots.Set(parameter.Id, Training.NewParameter(parameter.Initial.Evaluate(_slots)));
                return true;
            case NewOptimizerStatement optimizer:
                _slots.Set(optimizer.Id, new Training(optimizer.Description, optimizer.Description.Parameters.Select(p => (torch.Tensor)_slots[p]!)));
                return true;
            case OptimizerStepStatement step:
                var training = (Training)_slots[step.Optimizer]!;
                if (step.Zero) training.ClearGradients();
                else training.Step();
                return true;
            case LocalCallStatement local:
                _slots.Set(local.Id, Job.Ask(local.Id, local.Callback, Array.ConvertAll(local.Values, v => v.Evaluate(_slots)), local.Timeout));
                return true;
            case PutStatement put:
                if (_slots[put.Container] is not Dictionary<string, object?> map)
                    throw Errors.Throwable(ErrorCode.BadArgument, "Only a dictionary has entries by name.");
                if (map.Remove(put.Key, out object? before)) Ownership.Release(before);
                map[put.Key] = Ownership.Take(Ownership.Second(put.Value.Evaluate(_slots)));
                return true;
            case SetVariableStatement set:
                if (_slots[set.Container] is not List<object?> { Count: 1 } held)
                    throw Errors.Throwable(ErrorCode.BadArgument, "Only a variable can be set.");
                object? value = Ownership.Take(Ownership.Second(set.Value.Evaluate(_slots)));
                Ownership.Release(held[0]);
                held[0] = value;
                return true;
            case TraceStatement trace:
                (Waits, Trace) = (Wait.Pass, trace);
                return false;
            default:
                throw Errors.Throwable(ErrorCode.Unsupported, $"`{statement.GetType().Name}` is not supported by this version of the engine.");
        }
    }

    private bool Reach(Point point, int? call, bool reads = false)
    {
        CallLoop? loop = _frames.Select(f => f.Loop).OfType<CallLoop>().FirstOrDefault();
        int which = call ?? loop?.Step ?? 0;
        if (Interleaver!.IsAt(this, point, which, reads))
        {
            if (loop is not null && call is null) loop.Reached = true;
            return true;
        }
        (Waits, At) = (Wait.Point, (point, which));
        return false;
    }

    /// <summary>The backward pass whose block is being run, or null.</summary>
    private BackwardPass? Backward => _frames.Select(f => f.Block).OfType<BackwardPass>().FirstOrDefault();

    private void Run(BackwardStatement backward)
    {
        var pass = new BackwardPass(backward, this);
        int depth = _frames.Count;
        _frames.Push(new Frame(_plan.Regions[backward.Region]) { Block = pass });
        pass.Run();
        while (_frames.Count > depth) _frames.Pop();
    }

    /// <summary>Runs the forward of a module that the program defines, its sites included.</summary>
    private bool Call(CallDefinedStatement call)
    {
        if (!Job.Calling.TryAdd(call.Path, this)) // its statements have one set of values
        {
            (Waits, NeededModule) = (Wait.Module, call.Path);
            return false;
        }
        int depth = _frames.Count;
        var block = new Block();
        try
        {
            using var scope = torch.NewDisposeScope();
            var arguments = (Arguments)Pass(call.Path, after: false, new Arguments(Ownership.Second(call.Argument.Evaluate(_slots))))!;
            _slots.Set(call.Input, Ownership.Take(Ownership.Second(arguments.First)));
            _frames.Push(new Frame(_plan.Regions[call.Forward]) { Block = block });
            RunBlock(block);
            if (Job.HasFailed) return false;
            if (!block.HasEnded) throw Errors.Throwable(ErrorCode.Deadlock, $"The forward of `{call.Path}` waits for a value that another invoke computes.", "Give it as an input.");
            object? result = Pass(call.Path, after: true, Ownership.Second(call.Result.Evaluate(_slots)));
            if (Job.HasFailed) return false;
            _slots.Set(call.Id, Ownership.Take(Ownership.Second(result)));
            foreach (uint node in _plan.NodesBelow(call.Forward).Append(call.Input))
                if (!Job.IsHeld(node)) _slots.Free(node);
            return true;
        }
        finally
        {
            while (_frames.Count > depth) _frames.Pop();
            Job.Calling.Remove(call.Path);
        }
    }

    private object? Pass(string module, bool after, object? value) =>
        View is null ? value : Interleaver!.PassDefined(this, new Point(Point.OfTheUser, after, Defined: module), value);

    private bool Reach(uint value)
    {
        if (Backward is not { } pass || pass.IsAt(value)) return true;
        (Waits, Needed) = (Wait.Gradient, value);
        return false;
    }

    /// <summary>
    /// A gradient, as a fresh handle outside of any dispose scope: the one that a backward pass has just come to, or the one that was
    /// kept; a trained parameter keeps its own.
    /// </summary>
    private torch.Tensor GradientOf(uint value) => (Backward?.Gradient.alias()
        ?? (_plan.Statements[value] is NewParameterStatement ? ((torch.Tensor)_slots[value]!).grad : _slots.Gradient(value)?.alias())
        ?? throw Errors.Throwable(ErrorCode.NoGradient, $"There is no gradient of {_plan.Described(value)}: no backward pass has come to it.",
            "Call Backward(loss) before, with a loss that depends on it.")).DetachFromDisposeScope();

    private void SetGradient(uint value, object? gradient)
    {
        if (Backward is { } pass)
        {
            pass.Replace(gradient);
            return;
        }
        if (_plan.Statements[value] is NewParameterStatement)
        {
            using var scope = torch.NewDisposeScope();
            var parameter = (torch.Tensor)_slots[value]!;
            parameter.grad = BackwardPass.Fitting(gradient, parameter);
            return;
        }
        throw Errors.Throwable(ErrorCode.BadArgument, "The gradient of a value can be replaced only while the backward pass is there: in the block of Backward(loss, () => ...).");
    }

    private object? Compute(CallStatement call)
    {
        using var scope = torch.NewDisposeScope();
        object?[] arguments = Array.ConvertAll(call.Arguments, a => a.Evaluate(_slots));
        if (call.Arguments.Length > 0 && call.Arguments[0] is NodeOperand { Node: var first } && Job.ReadLate.Contains(first))
        {
            if (call.Schema.InPlace)
                throw Errors.Throwable(ErrorCode.OutOfOrder, "This input cannot be edited any more: its module has run with it.", "Edit it before the module's output is accessed.");
            if (call.Schema.Name == "getitem") Job.ReadLate.Add(call.Id); // a part of it
        }
        HashSet<torch.Tensor> lent = Ownership.NewSet();
        Ownership.Collect(arguments, lent);
        return Ownership.Take(KernelTable.Run(call.Schema, arguments, Job.Context), lent);
    }

    private object? Compute(CallModuleStatement call)
    {
        using var scope = torch.NewDisposeScope();
        object?[] arguments = Array.ConvertAll(call.Arguments, a => a.Evaluate(_slots));
        KeyValuePair<string, object?>[] keywords = Array.ConvertAll(call.Keywords, k => KeyValuePair.Create(k.Key, k.Value.Evaluate(_slots)));
        try
        {
            return Ownership.Take(RowView.Whole().Narrow(_plan.Subject.CallModule(call.Module, new Arguments(arguments, keywords)), _ => Axes.Shared));
        }
        catch (Exception e)
        {
            throw Faults.Of(e, $"The call of `{_plan.Subject.Paths[call.Module]}`", "Check the shapes and element types of its arguments.");
        }
    }

    private object? Compute(TraceRun trace)
    {
        using var scope = torch.NewDisposeScope();
        return Ownership.Take(trace.Result?.Invoke(this));
    }

    private object? New(ContainerStatement container)
    {
        using var scope = torch.NewDisposeScope();
        return Ownership.Take(Ownership.Second(container.Entries is { } entries
            ? entries.ToDictionary(e => e.Key, e => e.Value.Evaluate(_slots))
            : container.Items.Select(i => i.Evaluate(_slots)).ToList()));
    }
}
