using Ndif.Engine.Compiling;
using Ndif.Engine.Kernels;
using Ndif.Engine.Running;
using Ndif.Protocol;
using TorchSharp;

namespace Ndif.Engine.Interleaving;

/// <summary>The accesses of invokes to the hook point at which the pass is suspended.</summary>
internal sealed partial class Interleaver
{
    /// <summary>Whether the pass is at this call of a hook point; false if it has not reached it yet.</summary>
    /// <exception cref="OutOfOrderException">The pass has already passed the call.</exception>
    public bool IsAt(Interpreter invoke, HookPoint point, int call, bool isRead)
    {
        HookPointState state = StateOf(invoke, point);
        int callCount = CallCountOf(invoke, point);
        if (state.LastCaller == invoke && call < callCount) return true; // the latest call that the invoke has made itself
        bool hasStarted = StartAtStateOf(invoke) is not { IsReached: false };
        if (state.EndedCallArguments is not null && isRead && call == callCount - 1 && hasStarted) return IsUnblocked(invoke, point);
        if (call < callCount)
        {
            string name = Sites.NameOf(point);
            throw Errors.CreateException(ErrorCode.OutOfOrder,
                $"Value was missed for `{name}` (call {call}): the model had already run past it when it was accessed.",
                MissedAccessAdvice.For(invoke, point, call, Sites),
                Sites.PathOf(point));
        }
        if (!state.IsActive || call != callCount || !hasStarted || !IsUnblocked(invoke, point)) return false;
        (invoke.LastHookPoint, invoke.LastCall) = (point, call);
        return true;
    }

    /// <summary>Whether the pass is suspended at a hook point of the model.</summary>
    public bool IsActive(HookPoint point) => _hookPoints[point].IsActive;

    /// <summary>Reads the slice of an invoke at the current hook point. Returns new handles, outside of any dispose scope.</summary>
    /// <param name="batch">The value of which it is a slice; null if it is no part of a batch.</param>
    public object? Read(Interpreter invoke, ReadStatement read, out BatchShare? batch)
    {
        batch = null;
        HookPointState state = StateOf(invoke, read.Point);
        if (read.Point.IsDefined) return Sites.Read(BatchSlice.Whole(), read.Kind, read.Point, ReadDefined(read, state));
        bool isEnded = state.EndedCallArguments is not null;
        bool isCopy = !isEnded && Sites.IsCopied(invoke.Slice!, read.Kind, read.Point, state.Value);
        if (isCopy && state.PendingWriteBacks.FindCopy(invoke.Slice!, read.Kind) is { } earlier)
            // all reads share one copy, so that each sees the edits of the others
            return TensorOwnership.TakeOwnership(TensorOwnership.Alias(earlier.Value));
        WriteBack(state, read.Point, invoke.Slice!);
        bool requiresGrad = read.RequiresGrad && invoke.EnclosingTrace!.RequiresGrad && !isEnded;
        if (isCopy || requiresGrad) state.ApplyWrites(read.Point, Sites);
        if (requiresGrad) state.Replace(SiteValues.RequireGrad(read.Kind, state.Value));
        if (isEnded) invoke.Job.ReadOnlyInputs.Add(read.Id);
        else invoke.Job.ReadOnlyInputs.Remove(read.Id);
        object? source = state.EndedCallArguments ?? state.SourceOf(invoke.Slice!, read.Point, Sites);
        object? value = Sites.Read(invoke.Slice!, read.Kind, read.Point, source);
        if (!invoke.Slice!.CoversBatch)
            batch = new BatchShare(source, (double)invoke.EnclosingTrace!.RowCount / invoke.Slice.Batch.BatchSize);
        // the model continues with the whole value: a copy, and a slice that requires a gradient, is written back into it, and so into its
        // graph
        if (isCopy || (requiresGrad && (!invoke.Slice!.CoversBatch || Sites.IsRouted(read.Point))))
            state.PendingWriteBacks.Add(new PendingWriteBack(invoke.Slice!, read.Kind, TensorOwnership.Alias(value), isCopy, requiresGrad));
        return value;
    }

    /// <summary>Replaces the slice of an invoke at the current hook point.</summary>
    public void Write(Interpreter invoke, WriteStatement write, object? value)
    {
        HookPointState state = StateOf(invoke, write.Point);
        if (write.Point.IsDefined)
        {
            WriteDefined(write, state, value);
            return;
        }
        WriteBack(state, write.Point, invoke.Slice!);
        foreach (PendingWriteBack pending in state.PendingWriteBacks.Overlapping(invoke.Slice!)) pending.IsRemoved = true;
        Write(invoke, state, write.Kind, write.Point, value);
    }

    /// <summary>Replaces the slice of an invoke at the current hook point, or at the start of its pass.</summary>
    public void Write(Interpreter invoke, HookPointState state, SiteKind kind, HookPoint point, object? value)
    {
        if (invoke.EnclosingTrace!.RequiresGrad || invoke.Slice!.CoversBatch)
        {
            // autograd does not allow that a tensor which it has stored is written in place
            state.ApplyWrites(point, Sites);
            state.Replace(Sites.Write(invoke.Slice!, kind, point, state.Value, value));
            return;
        }
        state.Write(invoke.Slice, point, Sites,
            (whole, copies) => Sites.Write(invoke.Slice, kind, point, whole, value, copies));
    }

    /// <summary>Writes edits of copies of these rows into the value, before the rows are read or replaced again.</summary>
    private void WriteBack(HookPointState state, HookPoint point, BatchSlice slice)
    {
        if (state.EndedCallArguments is not null) return;
        foreach (PendingWriteBack pending in state.PendingWriteBacks.Overlapping(slice).Where(p => p.IsCopy))
        {
            WriteBack(state, point, pending);
            pending.IsRemoved = true;
        }
    }

    private void WriteBack(HookPointState state, HookPoint point, PendingWriteBack pending)
    {
        if (pending.IsCopy && Sites.WriteBack(pending.Slice, pending.Kind, point, state.Value, pending.Value)) return;
        if (pending.RequiresGrad) state.Replace(Sites.Write(pending.Slice, pending.Kind, point, state.Value, pending.Value));
    }

    /// <summary>
    /// Skips this call of a module or operation for the rows of the invoke: <paramref name="value"/> replaces its output.
    /// </summary>
    public void Skip(Interpreter invoke, HookPoint point, object? value)
    {
        var rows = new SkippedRows(invoke, Sites.ToSkipValue(invoke.Slice!, point with { IsAfter = true }, value));
        OrderedDictionary<Interpreter, SkippedRows> skips = _hookPoints[point].Skips ??= [];
        if (skips.Remove(invoke, out SkippedRows? earlier)) TensorOwnership.DisposeTensors(earlier.Value);
        skips.Add(invoke, rows);
    }

    /// <summary>Makes the pass start at a module for the rows of the invoke, with <paramref name="value"/> as its input.</summary>
    public void StartAt(Interpreter invoke, StartAtStatement statement, object? value)
    {
        string name = _model.Paths[statement.Module];
        if (StartAtStateOf(invoke) is { } first)
            throw Errors.CreateException(ErrorCode.InvalidProgram,
                $"This invoke starts at `{_model.Paths[first.Module]}` already; it cannot start at `{name}` too.",
                "Use an invoke for each.", name);
        if (invoke.LastHookPoint is not null || CallCountOf(invoke, new HookPoint(statement.Module, IsAfter: false)) > 0)
            throw Errors.CreateException(ErrorCode.OutOfOrder,
                $"The pass cannot start at `{name}` any more: the model had already run "
                + $"{(invoke.LastHookPoint is { } before ? $"to `{Sites.NameOf(before)}`, which this invoke has used" : "past it")}.",
                "Call StartAt before anything else in its invoke, with a value that is known by then.", name);
        if (value is not torch.Tensor hidden || !invoke.Slice!.Fits(hidden, _model.InputAxes(statement.Module, "0")))
            throw Errors.CreateException(ErrorCode.ShapeMismatch,
                $"The pass cannot start at `{name}` with {Describe.SiteValue(value)}: it takes hidden "
                + "states of this invoke's rows and tokens.",
                "Give the invoke a prompt of as many tokens as the value "
                + "has, and pass a tensor [batch, seq, hidden]: of a layer its Hidden.", name);
        invoke.EnclosingTrace!.StartAtStates.Add(invoke,
            new StartAtState(invoke, statement, hidden.alias(), _model.HiddenSizeOf(statement.EmbeddingModule) == hidden.shape[^1]));
    }

    /// <summary>The state of the invoke's StartAt, or null if the pass starts at the beginning.</summary>
    public static StartAtState? StartAtStateOf(Interpreter invoke) => invoke.EnclosingTrace!.StartAtStates.GetValueOrDefault(invoke);

    /// <summary>
    /// Registers an invoke at a barrier. Returns true if as many invokes as the barrier has participants have arrived at least as often
    /// as this one.
    /// </summary>
    public static bool ArriveAtBarrier(Interpreter invoke, BarrierStatement barrier)
    {
        Dictionary<uint, BarrierArrivals> barriers = invoke.EnclosingTrace!.Barriers;
        if (!barriers.TryGetValue(barrier.Barrier, out BarrierArrivals? arrivals)) barriers[barrier.Barrier] = arrivals = new();
        return arrivals.Arrive(invoke, barrier.Id) >= barrier.Participants;
    }

    private static object? ReadDefined(ReadStatement read, HookPointState state)
    {
        if (!state.IsActive) return state.LastCallValue;
        if (read.RequiresGrad) state.Replace(SiteValues.RequireGrad(read.Kind, state.Value));
        return state.Value;
    }

    private void WriteDefined(WriteStatement write, HookPointState state, object? value)
    {
        if (!state.IsActive)
            throw Errors.CreateException(ErrorCode.OutOfOrder,
                $"`{Sites.NameOf(write.Point)}` cannot be replaced any more: this invoke has called the module itself and has its result.",
                $"Replace it from another invoke of the same rows, such "
                + "as an edit that calls the module (llm.Edit); or call the module's layers one by one.", Sites.PathOf(write.Point));
        state.Replace(Sites.Write(BatchSlice.Whole(), write.Kind, write.Point, state.Value, value));
    }
}
