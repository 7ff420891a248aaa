using Ndif.Engine.Compiling;
using Ndif.Engine.HookedModels;
using Ndif.Engine.Reuse;
using Ndif.Engine.Running;
using Ndif.Engine.Scheduling;
using Ndif.Models;
using Ndif.Protocol;
using TorchSharp;

namespace Ndif.Engine.Interleaving;

/// <summary>
/// Runs the invokes of all traces and the forward pass of the model in turns, on one thread.
/// <code>
///   model:      ... h.0 ──●──────────────── h.1 ──●── ...
///                         │ ▲                     │ ▲
///   invoke 0:   waits ────┘ └ reads, edits, waits ┘ └ ...
///   invoke 1:   waits ────┘ └ ...
/// </code>
/// 1. Before the pass, every invoke runs until it waits for a hook point of the model.
/// 2. The pass reaches a hook point and is suspended there (<see cref="OnHookPoint"/>).
/// 3. The invokes that wait for this hook point run in the order of their definition, until none can run. An invoke may wait for a value
///    that another invoke has yet to compute.
/// 4. The value that they wrote replaces the value of the hook point, the call is counted for each job, and the pass continues. What a job
///    has written that fails here is not in it: the pass is also that of others.
/// 5. When the invokes of each trace are done, and one of them has called Stop or none has edited anything, the pass ends early.
/// Calls of modules by several invokes are one product (Interleaver.ModuleCalls.cs).
/// Counters and errors belong to the jobs: an invoke cannot observe which other jobs are in the batch.
/// </summary>
internal sealed partial class Interleaver
{
    private readonly HookedModel _model;
    private readonly IReadOnlyList<TraceRun> _traces;
    private readonly Interpreter[] _invokes;
    private readonly Dictionary<HookPoint, HookPointState> _hookPoints = [];
    private readonly Action _onPreemptionPoint;
    private readonly CurrentWork? _work;
    private bool _isRunningInvokes;

    /// <param name="onPreemptionPoint">Called between two modules of a pass, where passes of other traces may run.</param>
    public Interleaver(HookedModel model, IReadOnlyList<TraceRun> traces, Action onPreemptionPoint)
    {
        (_onPreemptionPoint, _work) = (onPreemptionPoint, traces is [var first, ..] ? first.Job.Work : null);
        (_model, _traces, Sites) = (model, traces, new SiteValues(model));
        _invokes = [.. traces.SelectMany(t => t.Invokes)];
        foreach (TraceRun trace in traces)
            foreach (HookPoint point in trace.Job.Plan.HookPoints)
                if (!point.IsDefined && !_hookPoints.ContainsKey(point)) _hookPoints.Add(point, new HookPointState());
        foreach (Interpreter invoke in _invokes) invoke.Interleaver = this;
        Hooks = new InterleavingModuleHook?[model.Paths.Count];
        foreach (var points in _hookPoints.Keys.GroupBy(p => p.Module))
        {
            var operations = InterleavingOperationHook.CreateAll(this, model.Source(points.Key), points);
            Hooks[points.Key] =
                new InterleavingModuleHook(this, points.Key, Has(new(points.Key, false)), Has(new(points.Key, true)), operations);
        }
        foreach (int module in model.CancellationPoints) Hooks[module] ??= new InterleavingModuleHook(this, module, false, false);

        bool Has(HookPoint point) => _hookPoints.ContainsKey(point);
    }

    public SiteValues Sites { get; }

    /// <summary>What this pass takes from earlier ones; null if it is computed whole.</summary>
    public PrefixReuse? Reuse { get; set; }

    /// <summary>The entries of the vocabulary whose logits the pass computes; null for all.</summary>
    public IReadOnlyCollection<long>? RequiredTokenIds { get; set; }

    /// <summary>The hooks of the modules by index; null for a module without hook points.</summary>
    public InterleavingModuleHook?[] Hooks { get; }

    /// <summary>Step 1: runs every invoke until it waits for the model.</summary>
    public void Begin()
    {
        RunReadyInvokes();
        StopIfAllDone();
    }

    /// <summary>Steps 2 to 5: called by a hook when the pass reaches a hook point.</summary>
    public object? OnHookPoint(HookPoint point, object? value)
    {
        if (_isRunningInvokes) return value; // an invoke calls the module, outside of the pass
        OnPreemptionPoint();
        CompleteCallsBefore(point);
        HookPointState state = _hookPoints[point];
        state.Enter(value); // 2
        foreach (TraceRun trace in _traces)
            foreach (StartAtState start in trace.StartAtStates.Values) start.OnHookPoint(point, state, this);
        try
        {
            _isRunningInvokes = true;
            RunReady(_invokes); // 3
            _isRunningInvokes = false;
            _work?.ResumePass();
            state.ApplyWrites(point, Sites);
            if (_traces.Count > 1)
                foreach (TraceRun trace in _traces)
                    if (trace.Job.HasFailed) state.TakeBack(trace, point, Sites);
            foreach (PendingWriteBack pending in state.PendingWriteBacks.All) WriteBack(state, point, pending);
            value = state.Value; // 4
            AddToCaches(point, value);
        }
        finally
        {
            state.Exit();
        }
        foreach (TraceRun trace in _traces)
            if (!trace.HasEnded) trace.CallCounts[point] = trace.CallCounts.GetValueOrDefault(point) + 1;
        if (HasDeferredCalls && _traces.All(HasOnlyDeferredCalls)) CompleteCalls();
        bool isNeeded = false;
        foreach (TraceRun trace in _traces) isNeeded |= !(IsOver(trace) || IsRestUnobserved(trace));
        if (!isNeeded && !EndsBySelf(point)) throw new EarlyStopException(); // 5
        return value;
    }

    public bool IsLmHead(int module) => _model is HookedLanguageModel model && model.LmHead == module;

    /// <summary>Whether the pass has nothing left that an exception would save, which costs more than many a module.</summary>
    private bool EndsBySelf(HookPoint point)
    {
        if (!_model.IsAtEnd(point)) return false;
        foreach (TraceRun trace in _traces)
            if (trace.Statement.Trace.Mode is not Mode.Forward) return false;
        return true;
    }

    /// <summary>A module of the pass begins.</summary>
    public void OnModuleStarted(int module)
    {
        if (!_isRunningInvokes) _work?.BeginModule(module);
    }

    /// <summary>A module of the pass has run. In a graph it is a place where a backward pass looks at the cancellation.</summary>
    public void OnModuleEnded(object? result)
    {
        if (_traces is [{ RequiresGrad: true } only]) only.Job.Limits.Backward?.Attach(result);
    }

    /// <summary>Between two modules of a pass: ends jobs that were cancelled, and lets passes of other traces run.</summary>
    public void OnPreemptionPoint()
    {
        if (_isRunningInvokes) return;
        CheckCancelled();
        _onPreemptionPoint();
    }

    /// <summary>Fails the jobs that were cancelled, and stops the pass if no invoke is left.</summary>
    public void CheckCancelled()
    {
        if (_isRunningInvokes) return;
        bool anyFailed = false;
        foreach (TraceRun trace in _traces) anyFailed |= trace.Job.CheckCancelled();
        if (anyFailed) StopIfAllDone();
    }

    /// <summary>Makes the arguments of an ended call readable at its output, until the result is disposed.</summary>
    public IDisposable BeginEndedCall(HookPoint input, Arguments arguments) => new EndedCallScope(_hookPoints[input], arguments);

    /// <summary>The pass is at a call of an expert, until the result is disposed.</summary>
    /// <param name="tokenIdx">[routed] int64: positions in [batch · seq], ascending</param>
    public IDisposable BeginExpertCall(torch.Tensor tokenIdx)
    {
        using var scope = torch.NewDisposeScope();
        long[] tokens = tokenIdx.device_type is DeviceType.META
            ? [.. Enumerable.Range(0, (int)tokenIdx.numel()).Select(token => (long)token)]
            : [.. tokenIdx.cpu().data<long>()];
        return new ExpertCallScope(this, new ExpertCall(tokens));
    }

    private sealed class ExpertCallScope : IDisposable
    {
        private readonly Interleaver _interleaver;

        public ExpertCallScope(Interleaver interleaver, ExpertCall call) => (_interleaver = interleaver).SetExpertCall(call);

        public void Dispose() => _interleaver.SetExpertCall(null);
    }

    private void SetExpertCall(ExpertCall? call)
    {
        foreach (Interpreter invoke in _invokes) invoke.Slice!.Batch.ExpertCall = call;
    }

    private sealed class EndedCallScope : IDisposable
    {
        private readonly HookPointState _input;

        public EndedCallScope(HookPointState input, Arguments arguments) => (_input = input).EndedCallArguments = arguments;

        public void Dispose() => _input.EndedCallArguments = null;
    }

    /// <summary>Returns and removes the values that replace the output of this call of a module or operation.</summary>
    public IReadOnlyList<SkippedRows>? ConsumeSkips(HookPoint point)
    {
        HookPointState state = _hookPoints[point with { IsAfter = false }];
        IReadOnlyList<SkippedRows>? skips = state.Skips is { } rows ? [.. rows.Values] : null;
        state.Skips = null;
        return skips;
    }

    /// <summary>
    /// An adapter is a part of its module: what replaces the module's output for some rows has nothing of it. The adapters of these rows
    /// wait for the next call.
    /// </summary>
    public void OmitAdapters(HookPoint output, IReadOnlyList<SkippedRows> skips)
    {
        foreach (Interpreter invoke in _invokes)
        {
            if (invoke is { IsAdapter: true, IsDone: false, WaitReason: WaitReason.HookPoint }
                && invoke.AwaitedPoint == (output, CallCountOf(invoke, output))
                && skips.Any(skip => skip.Covers(invoke))) invoke.OmitCall();
        }
    }

    /// <summary>
    /// Ends the part of a trace in the pass: its result is available, and waits of its invokes for the model are abandoned.
    /// </summary>
    public void EndTrace(TraceRun trace)
    {
        trace.HasEnded = true;
        RunReadyInvokes();
        while (trace.Invokes.FirstOrDefault(i => !i.IsDone) is { } waiting)
        {
            // an invoke that waits for a hook point is abandoned before the invokes that wait for its values
            Interpreter first = trace.Invokes.FirstOrDefault(i => !i.IsDone && i.WaitReason is WaitReason.HookPoint) ?? waiting;
            first.AbandonWait();
            RunReadyInvokes();
        }
    }

    /// <summary>
    /// Ends the part of invokes in the pass, because their rows have ended: their results are available, and their waits for the model are
    /// abandoned. The other rows of the trace continue, and so do edits that hold for every row of a pass
    /// (<see cref="Interpreter.AppliesToEndedRows"/>).
    /// </summary>
    public void EndInvokes(IReadOnlyList<Interpreter> invokes)
    {
        foreach (Interpreter invoke in invokes) invoke.HasEnded |= !invoke.AppliesToEndedRows;
        RunReadyInvokes();
    }

    /// <summary>The number of times that the pass has reached a hook point in the trace of this invoke.</summary>
    public int CallCountOf(Interpreter invoke, HookPoint point) => point.IsDefined ? StateOf(invoke, point).DefinedCallCount
        : invoke.EnclosingTrace!.CallCounts.GetValueOrDefault(point);

    /// <summary>False while another invoke is inside a call of a module that the program defines: its hook points come first.</summary>
    private static bool IsUnblocked(Interpreter invoke, HookPoint point) =>
        point.IsDefined || !invoke.EnclosingTrace!.DefinedModules.IsCallActive;

    private HookPointState StateOf(Interpreter invoke, HookPoint point) =>
        point.IsDefined ? invoke.EnclosingTrace!.DefinedModules.StateOf(invoke, point) : _hookPoints[point];

    /// <summary>
    /// Called when an invoke reaches a hook point of a module that its program defines, in the middle of a statement. Other invokes of
    /// the same rows run first (as in <see cref="OnHookPoint"/>), then the caller continues.
    /// </summary>
    public object? OnDefinedHookPoint(Interpreter caller, HookPoint point, object? value)
    {
        if (!caller.Job.Plan.HookPoints.Contains(point)) return value;
        HookPointState state = StateOf(caller, point);
        using var call = caller.EnclosingTrace!.DefinedModules.BeginCall();
        state.Enter(value);
        try
        {
            IReadOnlyList<Interpreter> invokes = caller.EnclosingTrace.DefinedModules.InvokesOfSameRows(caller);
            RunReady(invokes);
            // one of them may need what an invoke of other rows computes
            if (invokes.Any(invoke => invoke is { IsDone: false, WaitReason: WaitReason.Value or WaitReason.Barrier }))
                RunReady(caller.EnclosingTrace.Invokes);
            value = state.Value;
            object? lastValue = value is Arguments arguments
                ? new Arguments(Array.ConvertAll(arguments.Positional, item => TensorOwnership.TakeOwnership(TensorOwnership.Alias(item))))
                : TensorOwnership.TakeOwnership(TensorOwnership.Alias(value));
            state.SetLastCall(lastValue, caller);
        }
        finally
        {
            state.Exit();
        }
        state.DefinedCallCount++;
        return value;
    }

    /// <summary>
    /// Adds the value of a hook point to the caches of all traces, each of which counts as a statement: a program may have any number.
    /// </summary>
    private void AddToCaches(HookPoint point, object? value)
    {
        foreach (ActivationCollector cache in _traces.SelectMany(trace => trace.Caches))
        {
            JobRun job = cache.Invoke.Job;
            if (cache.Invoke.HasEnded || !(cache.Includes(point) || cache.IncludesRouting(point)) || job.CheckCancelled()) continue;
            job.OnStatementsStarted?.Invoke();
            SiteKind kind = point.IsAfter ? SiteKind.Output : SiteKind.Inputs;
            try
            {
                if (cache.Includes(point))
                    cache.Add(point, _model.Paths[point.Module], Sites.Read(cache.Invoke.Slice!, kind, point, value));
                if (cache.IncludesRouting(point))
                    cache.AddRouting(point, _model.Paths[point.Module], Sites.Read(cache.Invoke.Slice!, kind, point, value),
                        values => _model.RoutingOf(point.Module, values));
            }
            catch (NdifException e) when (e.Code is ErrorCode.OutOfMemory)
            {
                job.Fail(e, cache.Node);
            }
            job.OnStatementEnded?.Invoke();
        }
    }

    /// <summary>Runs invokes outside of the hook points of the model.</summary>
    private void RunReadyInvokes()
    {
        _isRunningInvokes = true;
        do RunReady(_invokes);
        while (CompleteCalls());
        _isRunningInvokes = false;
    }

    /// <summary>Runs invokes in the order of their definition until none can run.</summary>
    private void RunReady(IReadOnlyList<Interpreter> invokes)
    {
        bool hasProgress;
        do
        {
            hasProgress = false;
            foreach (Interpreter invoke in invokes)
            {
                // the wait of an invoke whose rows have ended is abandoned before other invokes wait for its values
                if (IsCallUnreachable(invoke)) invoke.AbandonWait();
                else if (CanRun(invoke)) invoke.Run();
                else continue;
                hasProgress = true;
            }
        } while (hasProgress);
    }

    /// <summary>True for an invoke that waits for a call of the model which its rows will not have.</summary>
    private static bool IsCallUnreachable(Interpreter invoke) => invoke is { HasEnded: true, IsDone: false, IsRunning: false }
        && invoke.WaitReason is WaitReason.HookPoint && !invoke.AwaitedPoint.Point.IsDefined;

    private bool CanRun(Interpreter invoke)
    {
        if (invoke.IsDone || invoke.IsRunning) return false;
        switch (invoke.WaitReason)
        {
            case WaitReason.None:
                return true;
            case WaitReason.HookPoint:
                (HookPoint point, int call) = invoke.AwaitedPoint;
                HookPointState state = StateOf(invoke, point);
                return state.IsActive && IsUnblocked(invoke, point) && (point.IsDefined || !invoke.HasEnded)
                    && CallCountOf(invoke, point) == call && StartAtStateOf(invoke) is not { IsReached: false };
            case WaitReason.Value:
                return invoke.Job.Slots.Has(invoke.AwaitedNode) || !invoke.EnclosingTrace!.CanStillCompute(invoke, invoke.AwaitedNode);
            case WaitReason.Barrier:
                return ArriveAtBarrier(invoke, invoke.AwaitedBarrier!);
            case WaitReason.Module:
                return !invoke.Job.ActiveModuleCalls.ContainsKey(invoke.AwaitedModule);
            case WaitReason.Result:
                return invoke.HasEnded;
            default:
                return false;
        }
    }

    private void StopIfAllDone()
    {
        if (_traces.All(IsOver)) throw new EarlyStopException();
    }

    /// <summary>
    /// Whether a trace needs nothing more of the model: it has ended or failed, or its invokes are done and one has stopped.
    /// </summary>
    private static bool IsOver(TraceRun trace) => trace.HasEnded || trace.Job.HasFailed
        || (trace.Invokes.All(invoke => invoke.IsDone || invoke.IsEdit) && trace.Invokes.Any(invoke => invoke.HasStopped));

    /// <summary>
    /// Whether nobody sees what the rest of the pass computes for a trace. After an edit it runs to its end, so that no error of it is
    /// lost.
    /// </summary>
    private bool IsRestUnobserved(TraceRun trace) => _model.CanBatch && trace.Statement.Trace.Mode is Mode.Forward && !trace.RequiresGrad
        && trace.Caches.Count == 0 && trace.Invokes.All(invoke => invoke.IsDone && !invoke.HasEditedCache);
}
