using System.Runtime.InteropServices;
using Ndif.Engine.Compiling;
using Ndif.Engine.Running;
using Ndif.Protocol;
using TorchSharp;

namespace Ndif.Engine.Interleaving;

/// <summary>What an interpreter waits for.</summary>
internal enum WaitReason
{
    /// <summary>Nothing: it can go on.</summary>
    None,
    /// <summary>The pass to come to a point of the model.</summary>
    HookPoint,
    /// <summary>A value that another invoke computes.</summary>
    Value,
    /// <summary>Other invokes at a barrier.</summary>
    Barrier,
    /// <summary>A pass of the model (a session's own statements).</summary>
    ForwardPass,
    /// <summary>The end of the pass, for its result.</summary>
    Result,
    /// <summary>The backward pass to come to a value.</summary>
    Gradient,
    /// <summary>A module of the program that another invoke is calling.</summary>
    Module,
    /// <summary>Nothing any more: all is done.</summary>
    Done,
}

/// <summary>
/// Runs the statements of one invoke (or of a session, between its traces). Resumable: it runs until it needs what is not there,
/// notes what that is, and returns; whoever brings it calls <see cref="Run"/> again. No thread waits.
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

    /// <summary>The region it began with: who it is.</summary>
    public uint Region { get; }

    /// <summary>Its part of the batch; null between traces.</summary>
    public BatchSlice? Slice { get; }

    /// <summary>The pass it takes part in; set before the pass.</summary>
    public Interleaver? Interleaver { get; set; }

    /// <summary>The trace it is part of; null for a session's own statements.</summary>
    public TraceRun? EnclosingTrace { get; set; }

    public WaitReason WaitReason { get; private set; }

    /// <summary>Where in the model, if it waits for a point; and which call.</summary>
    public (HookPoint Point, int Call) AwaitedPoint { get; private set; }

    /// <summary>The node whose value it waits for.</summary>
    public uint AwaitedNode { get; private set; }

    /// <summary>The barrier it waits at.</summary>
    public BarrierStatement? AwaitedBarrier { get; private set; }

    /// <summary>The trace it waits for.</summary>
    public TraceStatement? AwaitedTrace { get; private set; }

    /// <summary>The statement it stands at.</summary>
    public uint CurrentNode { get; private set; }

    /// <summary>True if it ended by Stop.</summary>
    public bool HasStopped { get; private set; }

    /// <summary>The point it reached last: where an access that comes too late would have had to come before.</summary>
    public HookPoint? LastHookPoint { get; set; }

    /// <summary>Runs the statements of a block until they wait, or all have run.</summary>
    public void RunBlock(StatementBlock block)
    {
        if (block.IsComplete) return;
        WaitReason = WaitReason.None;
        while (WaitReason is WaitReason.None && !block.IsComplete && !Job.CheckCancelled()) Step();
    }

    public bool IsDone => WaitReason is WaitReason.Done || Job.HasFailed;

    private bool IsInIteration => _frames.Any(f => f.Loop is StepLoop);

    /// <summary>True while it stands in a statement that lets others go on.</summary>
    public bool IsRunning { get; private set; }

    /// <summary>The path of the module it waits for.</summary>
    public string AwaitedModule { get; private set; } = "";

    /// <summary>Runs until it waits or is done. A failure ends its job and no other.</summary>
    public void Run()
    {
        IsRunning = true;
        RunGuarded(() =>
        {
            WaitReason = WaitReason.None;
            while (WaitReason is WaitReason.None && !Job.CheckCancelled()) Step();
        });
        IsRunning = false;
    }

    /// <summary>The trace it waited for has run.</summary>
    public void CompleteTrace()
    {
        CompleteStatement(AwaitedTrace!);
        AwaitedTrace = null;
        WaitReason = WaitReason.None;
    }

    /// <summary>
    /// The pass is over and what it waits for will not come. In an iteration the steps that did not happen are given up with a
    /// warning and what follows the iteration goes on; elsewhere it is an error.
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
            WaitReason.HookPoint when Interleaver!.StartAtStateOf(this) is { } start => Errors.CreateException(ErrorCode.MissedValue,
                $"`{Interleaver.Sites.NameOf(AwaitedPoint.Point)}` (call {AwaitedPoint.Call}) was not provided: this invoke starts at `{_plan.Model.Paths[start.Module]}`.",
                "What comes before that does not run for this invoke. Read it in another one.", Interleaver.Sites.PathOf(AwaitedPoint.Point)),
            WaitReason.HookPoint => Errors.CreateException(ErrorCode.MissedValue,
                $"Execution complete but `{Interleaver!.Sites.NameOf(AwaitedPoint.Point)}` (call {AwaitedPoint.Call}) was not provided: it was called {Interleaver.CallCountOf(this, AwaitedPoint.Point)} times.",
                "The module did not run in this pass: it lies behind a skipped or stopped module, or the model does not call it. Check the path, or the step.", Interleaver.Sites.PathOf(AwaitedPoint.Point)),
            WaitReason.Value => Errors.CreateException(ErrorCode.Deadlock, $"The value %{AwaitedNode} was waited for, and the invoke that computes it did not."),
            WaitReason.Barrier => Errors.CreateException(ErrorCode.Deadlock, $"A barrier waits for {AwaitedBarrier!.Participants} invokes, but fewer came to it.", "Call Wait() in as many invokes as the barrier was made for."),
            _ => Errors.CreateException(ErrorCode.Internal, "The program stopped in a state it cannot leave."),
        };
    });

    /// <summary>Leaves the iteration: the step it stands in did not happen, and so will none of the remaining ones.</summary>
    private void AbandonRemainingSteps(string module, string reason)
    {
        while (_frames.Peek().Loop is not StepLoop) _frames.Pop();
        var loop = (StepLoop)_frames.Pop().Loop!;
        Job.HasMissedSteps = true;
        if (loop.RequestedSteps is { } asked)
            Job.Warn(CurrentNode, module, $"The iteration asked for {asked}, but step {loop.Step} did not happen: {reason}. The remaining steps are skipped; what was saved before stays.");
        CompleteStatement(loop.Statement);
        WaitReason = WaitReason.None;
    }

    /// <summary>What fails ends the job, and nothing is thrown.</summary>
    private void RunGuarded(Action action)
    {
        try
        {
            action();
        }
        catch (Exception e)
        {
            Job.Fail(e is ExternalException or OutOfMemoryException ? ForwardErrorTranslator.Translate(e, "The statement") : e, CurrentNode);
        }
        if (Job.HasFailed) WaitReason = WaitReason.Done;
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
        foreach (uint need in statement.Needs)
        {
            if (_slots.Has(need)) continue;
            if (EnclosingTrace?.CanStillCompute(this, need) == true) (WaitReason, AwaitedNode) = (WaitReason.Value, need);
            else if (Job.HasMissedSteps && IsInIteration) AbandonRemainingSteps("", "another invoke's step, whose value it uses, did not happen either");
            else _ = _slots[need]; // says what is missing
            return;
        }
        if (Execute(statement)) CompleteStatement(statement);
    }

    /// <summary>A region has ended: the next turn of its loop, or the statement that holds it is complete.</summary>
    private void EndRegion(Frame frame)
    {
        if (frame.Loop is { } loop && loop.NextRegion(Job) is { } next)
        {
            BeginIteration(frame, next);
            return;
        }
        _frames.Pop();
        if (frame.Block is { } block) block.IsComplete = true; // the statement that it belongs to goes on
        else if (_frames.Count == 0) WaitReason = WaitReason.Done;
        else CompleteStatement(_plan.Statements[_frames.Peek().Nodes[_frames.Peek().NextIndex]]!);
    }

    /// <summary>Enters a loop. True if it had no turn at all.</summary>
    private bool EnterLoop(Loop loop)
    {
        if (loop.NextRegion(Job) is not { } first) return true;
        var frame = new Frame([]) { Loop = loop };
        BeginIteration(frame, first);
        _frames.Push(frame);
        return false;
    }

    /// <summary>A new turn forgets the values of the one before, so that a branch not taken now has none.</summary>
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

    /// <summary>A region that is being run, and where in it.</summary>
    private sealed class Frame(uint[] nodes)
    {
        public uint[] Nodes { get; set; } = nodes;

        public int NextIndex { get; set; }

        /// <summary>What runs these statements within its own: a backward pass, or a call of a module that the program defines.</summary>
        public StatementBlock? Block { get; init; }

        /// <summary>The loop whose turn this is.</summary>
        public Loop? Loop { get; init; }
    }
}
