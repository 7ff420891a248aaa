using Ndif.Engine.Compiling;
using Ndif.Engine.Running;
using Ndif.Engine.Subjects;
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
/// 2. The pass comes to a watched point and stands still there (<see cref="Pass"/>).
/// 3. Invokes that wait for this point go on, in the order of their definition, until none can: one may wait for a value that
///    another has still to compute.
/// 4. What they wrote is the point's value from here on; the calls of the point are counted, by owner; the pass goes on.
/// 5. When all are done and one of them asked to stop, the pass ends early.
/// The owners' counters and errors are their own: an invoke never learns who else is in the batch.
/// </summary>
internal sealed class Interleaver
{
    private readonly SubjectModel _subject;
    private readonly IReadOnlyList<TraceRun> _traces;
    private readonly Interpreter[] _invokes;
    private readonly List<RunningCache> _caches = [];
    private readonly List<EarlyStart> _starts = [];
    private readonly Dictionary<Point, PointState> _points = [];
    private readonly Dictionary<(JobRun, uint), Dictionary<Interpreter, HashSet<uint>>> _barriers = [];
    private bool _settling;

    public Interleaver(SubjectModel subject, IReadOnlyList<TraceRun> traces)
    {
        (_subject, _traces, Sites) = (subject, traces, new SiteValues(subject));
        _invokes = [.. traces.SelectMany(t => t.Invokes)];
        foreach (Point point in traces.SelectMany(t => t.Job.Plan.Points).Where(p => !p.IsDefined)) _points.TryAdd(point, new PointState());
        foreach (Interpreter invoke in _invokes) invoke.Interleaver = this;
        Watches = new ModuleWatch?[subject.Paths.Count];
        foreach (var points in _points.Keys.GroupBy(p => p.Module))
            Watches[points.Key] = new ModuleWatch(this, points.Key, Has(new(points.Key, false)), Has(new(points.Key, true)), OperationWatch.Of(this, subject.Source(points.Key), points));
        foreach (int module in subject.Milestones) Watches[module] ??= new ModuleWatch(this, module, false, false);

        bool Has(Point point) => _points.ContainsKey(point);
    }

    public SiteValues Sites { get; }

    /// <summary>Who is told of calls, by module.</summary>
    public ModuleWatch?[] Watches { get; }

    /// <summary>Runs every invoke as far as it comes without the model (step 1).</summary>
    public void Begin()
    {
        Settle();
        StopIfAllAreDone();
    }

    /// <summary>The pass has come to a point: its value may be read and changed (steps 2 to 5).</summary>
    public object? Pass(Point point, object? value)
    {
        if (_settling) return value; // a program calls the module, beside the pass
        CheckCancelled();
        PointState state = _points[point];
        state.Come(value);
        foreach (EarlyStart start in _starts) start.Come(point, state, this);
        try
        {
            Settle();
            foreach (SeenPart part in state.Parts) PutBack(state, point, part);
            value = state.Value;
            Cache(point, value);
        }
        finally
        {
            state.Leave();
        }
        foreach (TraceRun trace in _traces)
            if (!trace.HasEnded) state.Calls[trace.Job] = state.CallsOf(trace.Job) + 1;
        StopIfAllAreDone();
        return value;
    }

    /// <summary>Ends the jobs that were cancelled; stops the pass if nobody is left.</summary>
    public void CheckCancelled()
    {
        if (_settling) return;
        bool any = false;
        foreach (TraceRun trace in _traces) any |= trace.Job.CheckCancelled();
        if (any) StopIfAllAreDone();
    }

    /// <summary>From here on the modules' values are cached.</summary>
    public void Start(RunningCache cache) => _caches.Add(cache);

    /// <summary>Until the result is disposed, the pass stands at the output of a call with this input.</summary>
    public IDisposable Ended(Point input, Arguments arguments) => new EndedCall(_points[input], arguments);

    private sealed class EndedCall : IDisposable
    {
        private readonly PointState _input;

        public EndedCall(PointState input, Arguments arguments) => (_input = input).Ended = arguments;

        public void Dispose() => _input.Ended = null;
    }

    /// <summary>What was given instead of the output at this call of a module or operation, and takes it away.</summary>
    public List<SkippedPart>? TakeSkips(Point point)
    {
        PointState state = _points[point with { After = false }];
        var skips = state.Skips;
        state.Skips = null;
        return skips;
    }

    /// <summary>A trace's model work is over: its result is there, and what still waits for the model waits in vain.</summary>
    public void End(TraceRun trace)
    {
        trace.HasEnded = true;
        Settle();
        while (trace.Invokes.FirstOrDefault(i => !i.IsDone) is { } stuck)
        {
            // an invoke that waits for the model is given up before those that wait for it
            Interpreter first = trace.Invokes.FirstOrDefault(i => !i.IsDone && i.Waits is Wait.Point) ?? stuck;
            first.GiveUp();
            Settle();
        }
    }

    /// <summary>How often the pass came to a point in this job's trace.</summary>
    public int Calls(Interpreter invoke, Point point) => StateOf(invoke, point).CallsOf(invoke.Job);

    /// <summary>False while another invoke is in the middle of a statement at a point of the model: what it does there comes first.</summary>
    private static bool IsFree(Interpreter invoke, Point point) => point.IsDefined || !invoke.Within!.Defined.IsBeingCalled;

    private PointState StateOf(Interpreter invoke, Point point) => point.IsDefined ? invoke.Within!.Defined.Of(invoke, point) : _points[point];

    /// <summary>
    /// An invoke has come to a point of a module that its program defines, in the middle of its own statement: others of its rows go on
    /// there (as in <see cref="Pass"/>), then it does.
    /// </summary>
    public object? PassDefined(Interpreter caller, Point point, object? value)
    {
        if (!caller.Job.Plan.Points.Contains(point)) return value;
        PointState state = StateOf(caller, point);
        using var call = caller.Within!.Defined.BeginCall();
        state.Come(value);
        try
        {
            bool moved;
            do
            {
                moved = false;
                foreach (Interpreter invoke in caller.Within.Invokes)
                {
                    if (!CanGoOn(invoke)) continue;
                    invoke.Run();
                    moved = true;
                }
            } while (moved);
            value = state.Value;
            object? kept = value is Arguments arguments ? new Arguments(Array.ConvertAll(arguments.Positional, Ownership.Second)) : Ownership.Second(value);
            state.Keep(kept is Arguments own ? new Arguments(Array.ConvertAll(own.Positional, x => Ownership.Take(x))) : Ownership.Take(kept), caller);
        }
        finally
        {
            state.Leave();
        }
        state.Calls[caller.Job] = state.CallsOf(caller.Job) + 1;
        return value;
    }

    /// <summary>True if the pass stands at this call of the point; false if it has yet to come.</summary>
    /// <exception cref="OutOfOrderException">It has gone past.</exception>
    public bool IsAt(Interpreter invoke, Point point, int call, bool reads)
    {
        PointState state = StateOf(invoke, point);
        int past = state.CallsOf(invoke.Job);
        if (state.KeptBy == invoke && call < past) return true; // the latest of its own calls
        if (state.Ended is not null && reads && call == past - 1 && StartOf(invoke) is not { IsReached: false }) return IsFree(invoke, point);
        if (call < past)
        {
            string name = Sites.Name(point);
            throw Errors.Throwable(ErrorCode.OutOfOrder, $"Value was missed for `{name}` (call {call}): the model had already run past it when it was accessed.",
                $"Within one invoke, access modules in the order in which they run: move `{name}` up, before what is accessed later in the model{(invoke.LastPoint is { } last ? $" (here `{Sites.Name(last)}` came first)" : "")}.",
                Sites.Path(point));
        }
        if (!state.IsHere || call != past || StartOf(invoke) is { IsReached: false } || !IsFree(invoke, point)) return false;
        invoke.LastPoint = point;
        return true;
    }

    /// <summary>What an invoke sees of the point the pass stands at. Fresh handles, outside of any dispose scope.</summary>
    public object? Read(Interpreter invoke, ReadStatement read)
    {
        PointState state = StateOf(invoke, read.At);
        if (read.At.IsDefined) return Sites.See(RowView.Whole(), read.Kind, read.At, ReadDefined(read, state));
        bool copied = state.Ended is null && Sites.IsCopied(invoke.View!, read.Kind, read.At, state.Value);
        if (copied && state.Parts.Find(p => p.IsCopy && p.View == invoke.View && p.Kind == read.Kind) is { } own)
            return Ownership.Take(Ownership.Second(own.Value)); // one copy for all its reads, so that each sees the others' edits
        PutBack(state, read.At, invoke.View!);
        bool followed = read.Followed && invoke.Within!.WantsGraph && state.Ended is null;
        if (followed) state.Replace(SiteValues.Follow(read.Kind, state.Value));
        if (state.Ended is null) invoke.Job.ReadLate.Remove(read.Id);
        else invoke.Job.ReadLate.Add(read.Id);
        object? seen = Sites.See(invoke.View!, read.Kind, read.At, state.Ended ?? state.Value);
        // a slice of the value is not what the model goes on with: when it does, the slice is put back in, and so into its graph
        if (copied || (followed && !invoke.View!.CoversAll)) state.Parts.Add(new SeenPart(invoke.View!, read.Kind, Ownership.Second(seen), copied, followed));
        return seen;
    }

    public void Write(Interpreter invoke, WriteStatement write, object? value)
    {
        PointState state = StateOf(invoke, write.At);
        if (write.At.IsDefined)
        {
            WriteDefined(write, state, value);
            return;
        }
        PutBack(state, write.At, invoke.View!);
        state.Parts.RemoveAll(part => part.View.Overlaps(invoke.View!));
        state.Replace(Sites.Put(invoke.View!, write.Kind, write.At, state.Value, value));
    }

    /// <summary>Before these rows are seen or replaced again, edits of copies of them become part of the value.</summary>
    private void PutBack(PointState state, Point point, RowView view)
    {
        if (state.Ended is not null) return;
        foreach (SeenPart part in state.Parts.Where(p => p.IsCopy && p.View.Overlaps(view)).ToList())
        {
            PutBack(state, point, part);
            state.Parts.Remove(part);
        }
    }

    private void PutBack(PointState state, Point point, SeenPart part)
    {
        if (part.IsCopy && Sites.PutBack(part.View, part.Kind, point, state.Value, part.Value)) return;
        if (part.IsFollowed) state.Replace(Sites.Put(part.View, part.Kind, point, state.Value, part.Value));
    }

    /// <summary>Notes that the module or operation is not to run for this invoke's rows.</summary>
    public void Skip(Interpreter invoke, Point point, object? value)
    {
        var part = new SkippedPart(invoke, Sites.Instead(invoke.View!, point with { After = true }, value));
        List<SkippedPart> skips = _points[point].Skips ??= [];
        if (skips.FindIndex(s => s.Invoke == invoke) is >= 0 and int before)
        {
            Ownership.Release(skips[before].Value);
            skips.RemoveAt(before);
        }
        skips.Add(part);
    }

    /// <summary>The pass is to begin at this module for this invoke's rows.</summary>
    public void StartAt(Interpreter invoke, StartAtStatement statement, object? value)
    {
        string name = _subject.Paths[statement.Module];
        if (StartOf(invoke) is { } first)
            throw Errors.Throwable(ErrorCode.InvalidProgram, $"This invoke starts at `{_subject.Paths[first.Module]}` already; it cannot start at `{name}` too.", "Use an invoke for each.", name);
        if (invoke.LastPoint is not null || _points[new Point(statement.Module, After: false)].CallsOf(invoke.Job) > 0)
            throw Errors.Throwable(ErrorCode.OutOfOrder, $"The pass cannot start at `{name}` any more: the model had already run {(invoke.LastPoint is { } before ? $"to `{Sites.Name(before)}`, which this invoke has used" : "past it")}.",
                "Call StartAt before anything else in its invoke, with a value that is known by then.", name);
        if (value is not torch.Tensor hidden || !invoke.View!.Fits(hidden, _subject.InputAxes(statement.Module, "0")))
            throw Errors.Throwable(ErrorCode.ShapeMismatch, $"The pass cannot start at `{name}` with {RowView.Kind(value)}: it takes hidden states of this invoke's rows and tokens.",
                "Give the invoke a prompt of as many tokens as the value has, and pass a tensor [rows, tokens, hidden]: of a layer its Hidden.", name);
        _starts.Add(new EarlyStart(invoke, statement, hidden.alias(), _subject.WidthOf(statement.Embed) == hidden.shape[^1]));
    }

    /// <summary>Where the pass begins for this invoke, if not at its beginning.</summary>
    public EarlyStart? StartOf(Interpreter invoke)
    {
        foreach (EarlyStart start in _starts)
            if (start.Invoke == invoke) return start;
        return null;
    }

    /// <summary>
    /// True if this invoke may go on from the barrier: as many as its participants have come to it as often as this invoke has.
    /// </summary>
    public bool Arrive(Interpreter invoke, BarrierStatement barrier)
    {
        if (!_barriers.TryGetValue((invoke.Job, barrier.Barrier), out var there)) _barriers[(invoke.Job, barrier.Barrier)] = there = [];
        if (!there.TryGetValue(invoke, out var arrivals)) there[invoke] = arrivals = [];
        arrivals.Add(barrier.Id);
        return there.Values.Count(a => a.Count >= arrivals.Count) >= barrier.Participants;
    }

    private static object? ReadDefined(ReadStatement read, PointState state)
    {
        if (!state.IsHere) return state.Kept;
        if (read.Followed) state.Replace(SiteValues.Follow(read.Kind, state.Value));
        return state.Value;
    }

    private void WriteDefined(WriteStatement write, PointState state, object? value)
    {
        if (!state.IsHere)
            throw Errors.Throwable(ErrorCode.OutOfOrder, $"`{Sites.Name(write.At)}` cannot be replaced any more: this invoke has called the module itself and has its result.",
                $"Replace it from another invoke of the same rows, such as an edit that calls the module (llm.Edit); or call the module's layers one by one.", Sites.Path(write.At));
        state.Replace(Sites.Put(RowView.Whole(), write.Kind, write.At, state.Value, value));
    }

    private void Cache(Point point, object? value)
    {
        foreach (RunningCache cache in _caches)
        {
            if (!cache.Wants(point) || cache.Invoke.Job.HasFailed || cache.Invoke.Within!.HasEnded) continue;
            try
            {
                cache.Add(point, _subject.Paths[point.Module], Sites.See(cache.Invoke.View!, point.After ? SiteKind.Output : SiteKind.Inputs, point, value));
            }
            catch (NdifException full) when (full.Code is ErrorCode.OutOfMemory)
            {
                cache.Invoke.Job.Fail(full, cache.Node);
            }
        }
    }

    /// <summary>Lets invokes go on, in order of definition, until none can (step 3).</summary>
    private void Settle()
    {
        _settling = true;
        bool moved;
        do
        {
            moved = false;
            foreach (Interpreter invoke in _invokes)
            {
                if (!CanGoOn(invoke)) continue;
                invoke.Run();
                moved = true;
            }
        } while (moved);
        _settling = false;
    }

    private bool CanGoOn(Interpreter invoke)
    {
        if (invoke.IsDone || invoke.IsRunning) return false;
        switch (invoke.Waits)
        {
            case Wait.None:
                return true;
            case Wait.Point:
                PointState state = StateOf(invoke, invoke.At.Point);
                return state.IsHere && IsFree(invoke, invoke.At.Point) && (invoke.At.Point.IsDefined || !invoke.Within!.HasEnded) && state.CallsOf(invoke.Job) == invoke.At.Call && StartOf(invoke) is not { IsReached: false };
            case Wait.Value:
                return invoke.Job.Slots.Has(invoke.Needed) || !invoke.Within!.StillComputes(invoke, invoke.Needed);
            case Wait.Barrier:
                return Arrive(invoke, invoke.Barrier!);
            case Wait.Module:
                return !invoke.Job.Calling.ContainsKey(invoke.NeededModule);
            case Wait.Result:
                return invoke.Within!.HasEnded;
            default:
                return false;
        }
    }

    private void StopIfAllAreDone()
    {
        if (_invokes.All(i => i.IsDone) && _invokes.Any(i => i.Stopped || i.Job.HasFailed) && !_traces.Any(t => t.Streams)) throw new PassStopped();
    }
}

/// <summary>Unwinds the model's pass when nobody needs the rest of it. Caught where the pass was begun; never seen by a user.</summary>
internal sealed class PassStopped : Exception;
