using Ndif.Engine.Compiling;
using Ndif.Engine.HookedModels;
using Ndif.Engine.Running;
using Ndif.Models;
using Ndif.Protocol;
using TorchSharp;

namespace Ndif.Engine.Interleaving;

/// <summary>
/// Makes experiments and the model's pass take turns.
/// <code>
///   model:      ... h.0 ──●──────────────── h.1 ──●── ...
///                         │ ▲                     │ ▲
///   invoke 0:   waits ────┘ └ reads, edits, waits ┘ └ ...
///   invoke 1:   waits ────┘ └ ...
/// </code>
/// 1. Before the pass every invoke runs until it waits for a point of the model.
/// 2. The pass comes to a watched point and stands still there (<see cref="OnHookPoint"/>).
/// 3. Invokes that wait for this point go on, in the order of their definition, until none can: one may wait for a value that
///    another has still to compute.
/// 4. What they wrote is the point's value from here on; the calls of the point are counted, by owner; the pass goes on.
/// 5. When all are done and one of them asked to stop, the pass ends early.
/// The owners' counters and errors are their own: an invoke never learns who else is in the batch.
/// </summary>
internal sealed class Interleaver
{
    private readonly HookedModel _model;
    private readonly IReadOnlyList<TraceRun> _traces;
    private readonly Interpreter[] _invokes;
    private readonly List<ActivationCollector> _caches = [];
    private readonly List<StartAtState> _startAtStates = [];
    private readonly Dictionary<HookPoint, HookPointState> _hookPoints = [];
    private readonly Dictionary<(JobRun, uint), Dictionary<Interpreter, HashSet<uint>>> _barrierArrivals = [];
    private bool _isRunningInvokes;

    public Interleaver(HookedModel model, IReadOnlyList<TraceRun> traces)
    {
        (_model, _traces, Sites) = (model, traces, new SiteValues(model));
        _invokes = [.. traces.SelectMany(t => t.Invokes)];
        foreach (HookPoint point in traces.SelectMany(t => t.Job.Plan.HookPoints).Where(p => !p.IsDefined)) _hookPoints.TryAdd(point, new HookPointState());
        foreach (Interpreter invoke in _invokes) invoke.Interleaver = this;
        Hooks = new InterleavingModuleHook?[model.Paths.Count];
        foreach (var points in _hookPoints.Keys.GroupBy(p => p.Module))
            Hooks[points.Key] = new InterleavingModuleHook(this, points.Key, Has(new(points.Key, false)), Has(new(points.Key, true)), InterleavingOperationHook.CreateAll(this, model.Source(points.Key), points));
        foreach (int module in model.CancellationPoints) Hooks[module] ??= new InterleavingModuleHook(this, module, false, false);

        bool Has(HookPoint point) => _hookPoints.ContainsKey(point);
    }

    public SiteValues Sites { get; }

    /// <summary>Who is told of calls, by module.</summary>
    public InterleavingModuleHook?[] Hooks { get; }

    /// <summary>Runs every invoke as far as it comes without the model (step 1).</summary>
    public void Begin()
    {
        RunReadyInvokes();
        StopIfAllDone();
    }

    /// <summary>The pass has come to a point: its value may be read and changed (steps 2 to 5).</summary>
    public object? OnHookPoint(HookPoint point, object? value)
    {
        if (_isRunningInvokes) return value; // a program calls the module, beside the pass
        CheckCancelled();
        HookPointState state = _hookPoints[point];
        state.Enter(value);
        foreach (StartAtState start in _startAtStates) start.OnHookPoint(point, state, this);
        try
        {
            RunReadyInvokes();
            foreach (PendingWriteBack part in state.PendingWriteBacks) WriteBack(state, point, part);
            value = state.Value;
            AddToCaches(point, value);
        }
        finally
        {
            state.Exit();
        }
        foreach (TraceRun trace in _traces)
            if (!trace.HasEnded) state.CallCounts[trace.Job] = state.CallCountOf(trace.Job) + 1;
        StopIfAllDone();
        return value;
    }

    /// <summary>Ends the jobs that were cancelled; stops the pass if nobody is left.</summary>
    public void CheckCancelled()
    {
        if (_isRunningInvokes) return;
        bool any = false;
        foreach (TraceRun trace in _traces) any |= trace.Job.CheckCancelled();
        if (any) StopIfAllDone();
    }

    /// <summary>From here on the modules' values are cached.</summary>
    public void StartCache(ActivationCollector cache) => _caches.Add(cache);

    /// <summary>Until the result is disposed, the pass stands at the output of a call with this input.</summary>
    public IDisposable BeginEndedCall(HookPoint input, Arguments arguments) => new EndedCallScope(_hookPoints[input], arguments);

    private sealed class EndedCallScope : IDisposable
    {
        private readonly HookPointState _input;

        public EndedCallScope(HookPointState input, Arguments arguments) => (_input = input).EndedCallArguments = arguments;

        public void Dispose() => _input.EndedCallArguments = null;
    }

    /// <summary>What was given instead of the output at this call of a module or operation, and takes it away.</summary>
    public List<SkippedRows>? ConsumeSkips(HookPoint point)
    {
        HookPointState state = _hookPoints[point with { IsAfter = false }];
        var skips = state.Skips;
        state.Skips = null;
        return skips;
    }

    /// <summary>A trace's model work is over: its result is there, and what still waits for the model waits in vain.</summary>
    public void EndTrace(TraceRun trace)
    {
        trace.HasEnded = true;
        RunReadyInvokes();
        while (trace.Invokes.FirstOrDefault(i => !i.IsDone) is { } stuck)
        {
            // an invoke that waits for the model is given up before those that wait for it
            Interpreter first = trace.Invokes.FirstOrDefault(i => !i.IsDone && i.WaitReason is WaitReason.HookPoint) ?? stuck;
            first.AbandonWait();
            RunReadyInvokes();
        }
    }

    /// <summary>How often the pass came to a point in this job's trace.</summary>
    public int CallCountOf(Interpreter invoke, HookPoint point) => StateOf(invoke, point).CallCountOf(invoke.Job);

    /// <summary>False while another invoke is in the middle of a statement at a point of the model: what it does there comes first.</summary>
    private static bool IsUnblocked(Interpreter invoke, HookPoint point) => point.IsDefined || !invoke.EnclosingTrace!.DefinedModules.IsCallActive;

    private HookPointState StateOf(Interpreter invoke, HookPoint point) => point.IsDefined ? invoke.EnclosingTrace!.DefinedModules.StateOf(invoke, point) : _hookPoints[point];

    /// <summary>
    /// An invoke has come to a point of a module that its program defines, in the middle of its own statement: others of its rows go on
    /// there (as in <see cref="OnHookPoint"/>), then it does.
    /// </summary>
    public object? OnDefinedHookPoint(Interpreter caller, HookPoint point, object? value)
    {
        if (!caller.Job.Plan.HookPoints.Contains(point)) return value;
        HookPointState state = StateOf(caller, point);
        using var call = caller.EnclosingTrace!.DefinedModules.BeginCall();
        state.Enter(value);
        try
        {
            bool moved;
            do
            {
                moved = false;
                foreach (Interpreter invoke in caller.EnclosingTrace.Invokes)
                {
                    if (!CanRun(invoke)) continue;
                    invoke.Run();
                    moved = true;
                }
            } while (moved);
            value = state.Value;
            object? kept = value is Arguments arguments ? new Arguments(Array.ConvertAll(arguments.Positional, TensorOwnership.Alias)) : TensorOwnership.Alias(value);
            state.SetLastCall(kept is Arguments own ? new Arguments(Array.ConvertAll(own.Positional, x => TensorOwnership.TakeOwnership(x))) : TensorOwnership.TakeOwnership(kept), caller);
        }
        finally
        {
            state.Exit();
        }
        state.CallCounts[caller.Job] = state.CallCountOf(caller.Job) + 1;
        return value;
    }

    /// <summary>True if the pass stands at this call of the point; false if it has yet to come.</summary>
    /// <exception cref="OutOfOrderException">It has gone past.</exception>
    public bool IsAt(Interpreter invoke, HookPoint point, int call, bool isRead)
    {
        HookPointState state = StateOf(invoke, point);
        int past = state.CallCountOf(invoke.Job);
        if (state.LastCaller == invoke && call < past) return true; // the latest of its own calls
        if (state.EndedCallArguments is not null && isRead && call == past - 1 && StartAtStateOf(invoke) is not { IsReached: false }) return IsUnblocked(invoke, point);
        if (call < past)
        {
            string name = Sites.NameOf(point);
            throw Errors.CreateException(ErrorCode.OutOfOrder, $"Value was missed for `{name}` (call {call}): the model had already run past it when it was accessed.",
                $"Within one invoke, access modules in the order in which they run: move `{name}` up, before what is accessed later in the model{(invoke.LastHookPoint is { } last ? $" (here `{Sites.NameOf(last)}` came first)" : "")}.",
                Sites.PathOf(point));
        }
        if (!state.IsActive || call != past || StartAtStateOf(invoke) is { IsReached: false } || !IsUnblocked(invoke, point)) return false;
        invoke.LastHookPoint = point;
        return true;
    }

    /// <summary>What an invoke sees of the point the pass stands at. Fresh handles, outside of any dispose scope.</summary>
    public object? Read(Interpreter invoke, ReadStatement read)
    {
        HookPointState state = StateOf(invoke, read.Point);
        if (read.Point.IsDefined) return Sites.Read(BatchSlice.Whole(), read.Kind, read.Point, ReadDefined(read, state));
        bool copied = state.EndedCallArguments is null && Sites.IsCopied(invoke.Slice!, read.Kind, read.Point, state.Value);
        if (copied && state.PendingWriteBacks.Find(p => p.IsCopy && p.Slice == invoke.Slice && p.Kind == read.Kind) is { } own)
            return TensorOwnership.TakeOwnership(TensorOwnership.Alias(own.Value)); // one copy for all its reads, so that each sees the others' edits
        WriteBack(state, read.Point, invoke.Slice!);
        bool followed = read.RequiresGrad && invoke.EnclosingTrace!.RequiresGrad && state.EndedCallArguments is null;
        if (followed) state.Replace(SiteValues.RequireGrad(read.Kind, state.Value));
        if (state.EndedCallArguments is null) invoke.Job.ReadOnlyInputs.Remove(read.Id);
        else invoke.Job.ReadOnlyInputs.Add(read.Id);
        object? seen = Sites.Read(invoke.Slice!, read.Kind, read.Point, state.EndedCallArguments ?? state.Value);
        // a slice of the value is not what the model goes on with: when it does, the slice is put back in, and so into its graph
        if (copied || (followed && !invoke.Slice!.CoversBatch)) state.PendingWriteBacks.Add(new PendingWriteBack(invoke.Slice!, read.Kind, TensorOwnership.Alias(seen), copied, followed));
        return seen;
    }

    public void Write(Interpreter invoke, WriteStatement write, object? value)
    {
        HookPointState state = StateOf(invoke, write.Point);
        if (write.Point.IsDefined)
        {
            WriteDefined(write, state, value);
            return;
        }
        WriteBack(state, write.Point, invoke.Slice!);
        state.PendingWriteBacks.RemoveAll(part => part.Slice.Overlaps(invoke.Slice!));
        state.Replace(Sites.Write(invoke.Slice!, write.Kind, write.Point, state.Value, value));
    }

    /// <summary>Before these rows are seen or replaced again, edits of copies of them become part of the value.</summary>
    private void WriteBack(HookPointState state, HookPoint point, BatchSlice view)
    {
        if (state.EndedCallArguments is not null) return;
        foreach (PendingWriteBack part in state.PendingWriteBacks.Where(p => p.IsCopy && p.Slice.Overlaps(view)).ToList())
        {
            WriteBack(state, point, part);
            state.PendingWriteBacks.Remove(part);
        }
    }

    private void WriteBack(HookPointState state, HookPoint point, PendingWriteBack pending)
    {
        if (pending.IsCopy && Sites.WriteBack(pending.Slice, pending.Kind, point, state.Value, pending.Value)) return;
        if (pending.RequiresGrad) state.Replace(Sites.Write(pending.Slice, pending.Kind, point, state.Value, pending.Value));
    }

    /// <summary>Notes that the module or operation is not to run for this invoke's rows.</summary>
    public void Skip(Interpreter invoke, HookPoint point, object? value)
    {
        var part = new SkippedRows(invoke, Sites.ToSkipValue(invoke.Slice!, point with { IsAfter = true }, value));
        List<SkippedRows> skips = _hookPoints[point].Skips ??= [];
        if (skips.FindIndex(s => s.Invoke == invoke) is >= 0 and int before)
        {
            TensorOwnership.DisposeTensors(skips[before].Value);
            skips.RemoveAt(before);
        }
        skips.Add(part);
    }

    /// <summary>The pass is to begin at this module for this invoke's rows.</summary>
    public void StartAt(Interpreter invoke, StartAtStatement statement, object? value)
    {
        string name = _model.Paths[statement.Module];
        if (StartAtStateOf(invoke) is { } first)
            throw Errors.CreateException(ErrorCode.InvalidProgram, $"This invoke starts at `{_model.Paths[first.Module]}` already; it cannot start at `{name}` too.", "Use an invoke for each.", name);
        if (invoke.LastHookPoint is not null || _hookPoints[new HookPoint(statement.Module, IsAfter: false)].CallCountOf(invoke.Job) > 0)
            throw Errors.CreateException(ErrorCode.OutOfOrder, $"The pass cannot start at `{name}` any more: the model had already run {(invoke.LastHookPoint is { } before ? $"to `{Sites.NameOf(before)}`, which this invoke has used" : "past it")}.",
                "Call StartAt before anything else in its invoke, with a value that is known by then.", name);
        if (value is not torch.Tensor hidden || !invoke.Slice!.Fits(hidden, _model.InputAxes(statement.Module, "0")))
            throw Errors.CreateException(ErrorCode.ShapeMismatch, $"The pass cannot start at `{name}` with {BatchSlice.DescribeKind(value)}: it takes hidden states of this invoke's rows and tokens.",
                "Give the invoke a prompt of as many tokens as the value has, and pass a tensor [batch, seq, hidden]: of a layer its Hidden.", name);
        _startAtStates.Add(new StartAtState(invoke, statement, hidden.alias(), _model.HiddenSizeOf(statement.EmbeddingModule) == hidden.shape[^1]));
    }

    /// <summary>Where the pass begins for this invoke, if not at its beginning.</summary>
    public StartAtState? StartAtStateOf(Interpreter invoke)
    {
        foreach (StartAtState start in _startAtStates)
            if (start.Invoke == invoke) return start;
        return null;
    }

    /// <summary>
    /// True if this invoke may go on from the barrier: as many as its participants have come to it as often as this invoke has.
    /// </summary>
    public bool ArriveAtBarrier(Interpreter invoke, BarrierStatement barrier)
    {
        if (!_barrierArrivals.TryGetValue((invoke.Job, barrier.Barrier), out var there)) _barrierArrivals[(invoke.Job, barrier.Barrier)] = there = [];
        if (!there.TryGetValue(invoke, out var arrivals)) there[invoke] = arrivals = [];
        arrivals.Add(barrier.Id);
        return there.Values.Count(a => a.Count >= arrivals.Count) >= barrier.Participants;
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
            throw Errors.CreateException(ErrorCode.OutOfOrder, $"`{Sites.NameOf(write.Point)}` cannot be replaced any more: this invoke has called the module itself and has its result.",
                $"Replace it from another invoke of the same rows, such as an edit that calls the module (llm.Edit); or call the module's layers one by one.", Sites.PathOf(write.Point));
        state.Replace(Sites.Write(BatchSlice.Whole(), write.Kind, write.Point, state.Value, value));
    }

    private void AddToCaches(HookPoint point, object? value)
    {
        foreach (ActivationCollector cache in _caches)
        {
            if (!cache.Includes(point) || cache.Invoke.Job.HasFailed || cache.Invoke.EnclosingTrace!.HasEnded) continue;
            try
            {
                cache.Add(point, _model.Paths[point.Module], Sites.Read(cache.Invoke.Slice!, point.IsAfter ? SiteKind.Output : SiteKind.Inputs, point, value));
            }
            catch (NdifException full) when (full.Code is ErrorCode.OutOfMemory)
            {
                cache.Invoke.Job.Fail(full, cache.Node);
            }
        }
    }

    /// <summary>Lets invokes go on, in order of definition, until none can (step 3).</summary>
    private void RunReadyInvokes()
    {
        _isRunningInvokes = true;
        bool moved;
        do
        {
            moved = false;
            foreach (Interpreter invoke in _invokes)
            {
                if (!CanRun(invoke)) continue;
                invoke.Run();
                moved = true;
            }
        } while (moved);
        _isRunningInvokes = false;
    }

    private bool CanRun(Interpreter invoke)
    {
        if (invoke.IsDone || invoke.IsRunning) return false;
        switch (invoke.WaitReason)
        {
            case WaitReason.None:
                return true;
            case WaitReason.HookPoint:
                HookPointState state = StateOf(invoke, invoke.AwaitedPoint.Point);
                return state.IsActive && IsUnblocked(invoke, invoke.AwaitedPoint.Point) && (invoke.AwaitedPoint.Point.IsDefined || !invoke.EnclosingTrace!.HasEnded) && state.CallCountOf(invoke.Job) == invoke.AwaitedPoint.Call && StartAtStateOf(invoke) is not { IsReached: false };
            case WaitReason.Value:
                return invoke.Job.Slots.Has(invoke.AwaitedNode) || !invoke.EnclosingTrace!.CanStillCompute(invoke, invoke.AwaitedNode);
            case WaitReason.Barrier:
                return ArriveAtBarrier(invoke, invoke.AwaitedBarrier!);
            case WaitReason.Module:
                return !invoke.Job.ActiveModuleCalls.ContainsKey(invoke.AwaitedModule);
            case WaitReason.Result:
                return invoke.EnclosingTrace!.HasEnded;
            default:
                return false;
        }
    }

    private void StopIfAllDone()
    {
        if (_invokes.All(i => i.IsDone) && _invokes.Any(i => i.HasStopped || i.Job.HasFailed) && !_traces.Any(t => t.IsStreaming)) throw new EarlyStopException();
    }
}

/// <summary>Unwinds the model's pass when nobody needs the rest of it. Caught where the pass was begun; never seen by a user.</summary>
internal sealed class EarlyStopException : Exception;
