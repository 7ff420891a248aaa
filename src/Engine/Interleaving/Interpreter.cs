using System.Runtime.InteropServices;
using Ndif.Engine.Compiling;
using Ndif.Engine.Running;
using Ndif.Protocol;
using TorchSharp;

namespace Ndif.Engine.Interleaving;

/// <summary>
/// Runs the statements of one invoke, or those of a session between its traces. It is resumable: it runs until a statement needs
/// something that is not available, records it, and returns. The provider of the value calls <see cref="Run(Func{bool})"/> again. No thread
/// blocks.
/// </summary>
internal sealed partial class Interpreter
{
    private readonly Stack<Frame> _frames = new();
    private readonly Plan _plan;
    private readonly ValueSlots _slots;

    public Interpreter(JobRun job, uint region, BatchSlice? slice)
    {
        (Job, Region, Slice) = (job, region, slice);
        (_plan, _slots) = (job.Plan, job.Slots);
        _frames.Push(new Frame(_plan.Regions[region]));
    }

    public JobRun Job { get; }

    /// <summary>The region of the invoke, which identifies it.</summary>
    public uint Region { get; }

    /// <summary>The slice of the batch that the invoke owns; null between traces.</summary>
    public BatchSlice? Slice { get; }

    /// <summary>The interleaver of the pass; set before the pass.</summary>
    public Interleaver? Interleaver { get; set; }

    /// <summary>The trace that the invoke is part of; null for the statements of a session.</summary>
    public TraceRun? EnclosingTrace { get; set; }

    public WaitReason WaitReason { get; private set; }

    /// <summary>The hook point and the call that it waits for.</summary>
    public (HookPoint Point, int Call) AwaitedPoint { get; private set; }

    /// <summary>The node whose value or gradient it waits for.</summary>
    public uint AwaitedNode { get; private set; }

    /// <summary>The barrier it waits at.</summary>
    public BarrierStatement? AwaitedBarrier { get; private set; }

    /// <summary>The trace whose pass it waits for.</summary>
    public TraceStatement? AwaitedTrace { get; private set; }

    /// <summary>The current statement.</summary>
    public uint CurrentNode { get; private set; }

    /// <summary>
    /// Whether the model makes no further calls for its rows: they have all ended, or the trace has. Other rows of the pass may continue.
    /// </summary>
    public bool HasEnded
    {
        get => field || EnclosingTrace is { HasEnded: true };
        set;
    }

    /// <summary>Whether it is a persistent edit, which applies to the rows of another invoke in every step.</summary>
    public bool IsEdit { get; init; }

    /// <summary>Whether it is a persistent edit that is part of a module.</summary>
    public bool IsAdapter => _plan.AdapterRegions.Contains(Region);

    /// <summary>
    /// Whether it goes on for its rows while they stay in the pass after their end: an edit that only changes the model. What it shows to
    /// the user would have more steps than the rows have alone.
    /// </summary>
    public bool AppliesToEndedRows => IsEdit && _plan.OnlyChangesModel(Region);

    private readonly HashSet<uint> _reads = []; // the nodes of the values of the model that it has read

    /// <summary>Whether it has changed values from which the model computes the keys and values of its rows.</summary>
    public bool HasEditedCache { get; private set; }

    /// <summary>Whether it ended by Stop.</summary>
    public bool HasStopped { get; private set; }

    /// <summary>The last hook point that it accessed, for the error of an access that comes too late.</summary>
    public HookPoint? LastHookPoint { get; set; }

    /// <summary>The call of <see cref="LastHookPoint"/>.</summary>
    public int LastCall { get; set; }

    /// <summary>Whether all statements have run, or the job has failed.</summary>
    public bool IsDone => WaitReason is WaitReason.Done || Job.HasFailed;

    /// <summary>Whether it is inside a statement, which may let other invokes run.</summary>
    public bool IsRunning { get; private set; }

    /// <summary>The path of the module of the program that it waits for.</summary>
    public string AwaitedModule { get; private set; } = "";

    /// <summary>Whether the next statement is a trace, whose pass is a turn of its own, or there is none.</summary>
    private bool IsAtTraceOrEnd => _frames.TryPeek(out Frame? frame) && (frame.NextIndex == frame.Nodes.Length ? _frames.Count == 1
        : _plan.Statements[frame.Nodes[frame.NextIndex]] is TraceStatement);

    private bool IsInIteration => _frames.Any(f => f.Loop is StepLoop);

    /// <summary>Runs until it waits or is done. An error fails its own job only.</summary>
    /// <param name="isSliceOver">
    /// Returns whether it stops before a statement that computes something, with <see cref="WaitReason.None"/>. By default others run
    /// meanwhile (<see cref="JobRun.OnStatementEnded"/>).
    /// </param>
    public void Run(Func<bool>? isSliceOver = null)
    {
        IsRunning = true;
        Job.OnStatementsStarted?.Invoke();
        RunGuarded(() =>
        {
            WaitReason = WaitReason.None;
            while (WaitReason is WaitReason.None && !Job.CheckCancelled())
            {
                if (isSliceOver?.Invoke() == true && !IsAtTraceOrEnd) break;
                Step();
                if (isSliceOver is null) Job.OnStatementEnded?.Invoke();
            }
        });
        IsRunning = false;
    }

    /// <summary>Runs the statements of a block until they wait or all have run.</summary>
    public void RunBlock(StatementBlock block)
    {
        if (block.IsComplete) return;
        WaitReason = WaitReason.None;
        while (WaitReason is WaitReason.None && !block.IsComplete && !Job.CheckCancelled())
        {
            Step();
            Job.OnStatementEnded?.Invoke();
        }
    }

    /// <summary>Completes the trace statement after its pass has run.</summary>
    public void CompleteTrace()
    {
        CompleteStatement(AwaitedTrace!);
        AwaitedTrace = null;
        WaitReason = WaitReason.None;
    }

    /// <summary>
    /// Called when the pass has ended and will not provide what the invoke waits for. Inside an iteration, the steps that did not
    /// happen are skipped with a warning, and the statements after the iteration run; elsewhere it is an error.
    /// </summary>
    public void AbandonWait() => RunGuarded(() =>
    {
        if (WaitReason is WaitReason.HookPoint && IsInIteration)
        {
            string what = Interleaver!.Sites.NameOf(AwaitedPoint.Point);
            AbandonRemainingSteps(what, $"`{what}` was called {Interleaver.CallCountOf(this, AwaitedPoint.Point)} times");
            return;
        }
        throw WaitReason switch
        {
            WaitReason.HookPoint when Interleaver.StartAtStateOf(this) is { } start => Errors.CreateException(ErrorCode.MissedValue,
                $"`{Interleaver!.Sites.NameOf(AwaitedPoint.Point)}` (call {AwaitedPoint.Call}) was not provided: this invoke starts at "
                + $"`{_plan.Model.Paths[start.Module]}`.",
                "What comes before that does not run for this invoke. Read it in another one.",
                Interleaver.Sites.PathOf(AwaitedPoint.Point)),
            WaitReason.HookPoint => Errors.CreateException(ErrorCode.MissedValue,
                $"Execution complete but `{Interleaver!.Sites.NameOf(AwaitedPoint.Point)}` (call {AwaitedPoint.Call}) was not provided: "
                + $"it was called {Interleaver.CallCountOf(this, AwaitedPoint.Point)} times.",
                "The module did not run in this pass: it lies behind a skipped or stopped module, or the model does not call it. Check "
                + "the path, or the step.", Interleaver.Sites.PathOf(AwaitedPoint.Point)),
            WaitReason.Value =>
                Errors.CreateException(ErrorCode.Deadlock,
                    $"Value %{AwaitedNode} was never computed: its invoke ended."),
            WaitReason.Barrier =>
                Errors.CreateException(ErrorCode.Deadlock,
                    $"A barrier waits for {AwaitedBarrier!.Participants} invokes, but fewer came to it.",
                    "Call Wait() in as many invokes as the barrier was made for."),
            _ => Errors.CreateException(ErrorCode.Internal, "Unexpected interpreter state."),
        };
    });

    /// <summary>Begins the next step without the call that it waits for.</summary>
    public void OmitCall()
    {
        if (!IsInIteration)
        {
            WaitReason = WaitReason.Done;
            return;
        }
        while (_frames.Peek().Loop is not StepLoop) _frames.Pop();
        ((StepLoop)_frames.Peek().Loop!).HasReachedModule = true;
        WaitReason = WaitReason.None;
        EndRegion(_frames.Peek());
    }

    /// <summary>Leaves the iteration: the current step did not happen, and neither will the remaining ones.</summary>
    private void AbandonRemainingSteps(string module, string reason)
    {
        while (_frames.Peek().Loop is not StepLoop) _frames.Pop();
        var loop = (StepLoop)_frames.Pop().Loop!;
        Job.HasMissedSteps = true;
        if (loop.RequestedSteps is { } requested)
            Job.Warn(CurrentNode, module,
                $"The iteration asked for {requested}, but step {loop.Step} did not happen: {reason}. The remaining "
                + "steps are skipped; what was saved before stays.");
        CompleteStatement(loop.Statement);
        WaitReason = WaitReason.None;
    }

    /// <summary>Runs an action; an exception fails the job and is not rethrown.</summary>
    private void RunGuarded(Action action)
    {
        try
        {
            action();
        }
        catch (Exception e)
        {
            Interleaver?.CompleteCallsBefore(this); // whose errors come first
            Job.Fail(e is ExternalException or OutOfMemoryException ? ForwardErrorTranslator.Translate(e, "The statement")
                : AddStep(e), CurrentNode);
        }
        if (Job.HasFailed) WaitReason = WaitReason.Done;
    }

    /// <summary>Adds the step to an error that only the later steps of a generation have, whose passes have fewer tokens.</summary>
    private Exception AddStep(Exception exception)
    {
        if (Errors.FromException(exception) is not { Code: ErrorCode.IndexOutOfRange or ErrorCode.ShapeMismatch } error
            || _frames.Select(frame => frame.Loop).OfType<RangeStepLoop>().FirstOrDefault() is not { Step: > 0 } loop) return exception;
        Error atStep = error.Clone();
        string step = $"This is step {loop.Step}: a pass after that of the prompt has only the new token, and an edit of a model and "
            + "Iter.Each run in every step. For the prompt's pass alone, use foreach (int step in t.Iter[0]), or Iter.Each with the "
            + "range 0..1.";
        atStep.Hint = $"{error.Hint} {step}".TrimStart();
        return Errors.ToException(atStep, exception);
    }

    private void Step()
    {
        Frame frame = _frames.Peek();
        if (frame.NextIndex == frame.Nodes.Length)
        {
            EndRegion(frame);
            return;
        }
        CurrentNode = frame.Nodes[frame.NextIndex];
        Statement statement = _plan.Statements[CurrentNode]!;
        if (Interleaver?.HasDeferredCalls == true && !IsPrivate(statement)) Interleaver.CompleteCallsBefore(this);
        if (Job.HasFailed) return;
        foreach (uint input in statement.Needs)
        {
            if (_slots.Has(input)) continue;
            if (EnclosingTrace?.CanStillCompute(this, input) == true) (WaitReason, AwaitedNode) = (WaitReason.Value, input);
            else if (Job.HasMissedSteps && IsInIteration)
                AbandonRemainingSteps("", "another invoke's step, whose value it uses, did not happen either");
            else _ = _slots[input]; // throws the error that names the missing value
            return;
        }
        Job.Work?.BeginStatement(Job, CurrentNode);
        if (Execute(statement)) CompleteStatement(statement);
    }

    /// <summary>Ends a region: begins the next iteration of its loop, or completes the statement that contains it.</summary>
    private void EndRegion(Frame frame)
    {
        if (frame.Loop is { } loop && loop.NextRegion(Job) is { } next)
        {
            BeginIteration(frame, next);
            return;
        }
        _frames.Pop();
        if (frame.Block is { } block) block.IsComplete = true; // the statement that contains the block continues
        else if (_frames.Count == 0) WaitReason = WaitReason.Done;
        else CompleteStatement(_plan.Statements[_frames.Peek().Nodes[_frames.Peek().NextIndex]]!);
    }

    /// <summary>Enters a loop. Returns true if it has no iteration.</summary>
    private bool EnterLoop(Loop loop)
    {
        if (loop.NextRegion(Job) is not { } first) return true;
        var frame = new Frame([]) { Loop = loop };
        BeginIteration(frame, first);
        _frames.Push(frame);
        return false;
    }

    /// <summary>Begins an iteration. Frees the values of the previous one, so that a branch that is not taken has no values.</summary>
    private void BeginIteration(Frame frame, uint region)
    {
        foreach (uint node in _plan.DescendantsOf(region))
            if (!Job.IsRetained(node)) _slots.Free(node);
        (frame.Nodes, frame.NextIndex) = (_plan.Regions[region], 0);
    }

    /// <summary>Leaves the innermost loop.</summary>
    private void BreakLoop()
    {
        while (_frames.Peek().Loop is null) _frames.Pop();
        CompleteStatement(_frames.Pop().Loop!.Statement);
    }

    private void CompleteStatement(Statement statement)
    {
        foreach (uint node in statement.FreedAfter)
            if (!Job.IsRetained(node)) _slots.Free(node);
        _frames.Peek().NextIndex++;
    }

    /// <summary>A region that is being run, and the position in it.</summary>
    private sealed class Frame(uint[] nodes)
    {
        public uint[] Nodes { get; set; } = nodes;

        public int NextIndex { get; set; }

        /// <summary>
        /// The statement that contains this region and continues after it: a backward pass, or a call of a module that the program
        /// defines.
        /// </summary>
        public StatementBlock? Block { get; init; }

        /// <summary>The loop of which this is an iteration.</summary>
        public Loop? Loop { get; init; }
    }
}
