using System.Runtime.InteropServices;
using Ndif.Engine.Compiling;
using Ndif.Engine.Gradients;
using Ndif.Engine.Kernels;
using Ndif.Engine.Running;
using Ndif.Models;
using Ndif.Protocol;
using TorchSharp;

namespace Ndif.Engine.Interleaving;

/// <summary>What an interpreter waits for.</summary>
internal enum Wait
{
    /// <summary>Nothing: it can go on.</summary>
    None,
    /// <summary>The pass to come to a point of the model.</summary>
    Point,
    /// <summary>A value that another invoke computes.</summary>
    Value,
    /// <summary>Other invokes at a barrier.</summary>
    Barrier,
    /// <summary>A pass of the model (a session's own statements).</summary>
    Pass,
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
    private readonly Slots _slots;

    public Interpreter(JobRun job, uint region, RowView? view)
    {
        (Job, Region, View) = (job, region, view);
        (_plan, _slots) = (job.Plan, job.Slots);
        _frames.Push(new Frame(_plan.Regions[region]));
    }

    public JobRun Job { get; }

    /// <summary>The region it began with: who it is.</summary>
    public uint Region { get; }

    /// <summary>Its part of the batch; null between traces.</summary>
    public RowView? View { get; }

    /// <summary>The pass it takes part in; set before the pass.</summary>
    public Interleaver? Interleaver { get; set; }

    /// <summary>The trace it is part of; null for a session's own statements.</summary>
    public TraceRun? Within { get; set; }

    public Wait Waits { get; private set; }

    /// <summary>Where in the model, if it waits for a point; and which call.</summary>
    public (Point Point, int Call) At { get; private set; }

    /// <summary>The node whose value it waits for.</summary>
    public uint Needed { get; private set; }

    /// <summary>The barrier it waits at.</summary>
    public BarrierStatement? Barrier { get; private set; }

    /// <summary>The trace it waits for.</summary>
    public TraceStatement? Trace { get; private set; }

    /// <summary>The statement it stands at.</summary>
    public uint Current { get; private set; }

    /// <summary>True if it ended by Stop.</summary>
    public bool Stopped { get; private set; }

    /// <summary>The point it reached last: where an access that comes too late would have had to come before.</summary>
    public Point? LastPoint { get; set; }

    /// <summary>Runs the statements of a block until they wait, or all have run.</summary>
    public void RunBlock(Block block)
    {
        if (block.HasEnded) return;
        Waits = Wait.None;
        while (Waits is Wait.None && !block.HasEnded && !Job.CheckCancelled()) Step();
    }

    public bool IsDone => Waits is Wait.Done || Job.HasFailed;

    private bool InIteration => _frames.Any(f => f.Loop is CallLoop);

    /// <summary>True while it stands in a statement that lets others go on.</summary>
    public bool IsRunning { get; private set; }

    /// <summary>The path of the module it waits for.</summary>
    public string NeededModule { get; private set; } = "";

    /// <summary>Runs until it waits or is done. A failure ends its job and no other.</summary>
    public void Run()
    {
        IsRunning = true;
        Guarded(() =>
        {
            Waits = Wait.None;
            while (Waits is Wait.None && !Job.CheckCancelled()) Step();
        });
        IsRunning = false;
    }

    /// <summary>The trace it waited for has run.</summary>
    public void TraceEnded()
    {
        Complete(Trace!);
        Trace = null;
        Waits = Wait.None;
    }

    /// <summary>
    /// The pass is over and what it waits for will not come. In an iteration the steps that did not happen are given up with a
    /// warning and what follows the iteration goes on; elsewhere it is an error.
    /// </summary>
    public void GiveUp() => Guarded(() =>
    {
        if (Waits is Wait.Point && InIteration)
        {
            string what = Interleaver!.Sites.Name(At.Point);
            GiveUpSteps(what, $"`{what}` was called {Interleaver.Calls(this, At.Point)} times");
            return;
        }
        throw Waits switch
        {
            Wait.Point when Interleaver!.StartOf(this) is { } start => Errors.Throwable(ErrorCode.MissedValue,
                $"`{Interleaver.Sites.Name(At.Point)}` (call {At.Call}) was not provided: this invoke starts at `{_plan.Subject.Paths[start.Module]}`.",
                "What comes before that does not run for this invoke. Read it in another one.", Interleaver.Sites.Path(At.Point)),
            Wait.Point => Errors.Throwable(ErrorCode.MissedValue,
                $"Execution complete but `{Interleaver!.Sites.Name(At.Point)}` (call {At.Call}) was not provided: it was called {Interleaver.Calls(this, At.Point)} times.",
                "The module did not run in this pass: it lies behind a skipped or stopped module, or the model does not call it. Check the path, or the step.", Interleaver.Sites.Path(At.Point)),
            Wait.Value => Errors.Throwable(ErrorCode.Deadlock, $"The value %{Needed} was waited for, and the invoke that computes it did not."),
            Wait.Barrier => Errors.Throwable(ErrorCode.Deadlock, $"A barrier waits for {Barrier!.Participants} invokes, but fewer came to it.", "Call Wait() in as many invokes as the barrier was made for."),
            _ => Errors.Throwable(ErrorCode.Internal, "The program stopped in a state it cannot leave."),
        };
    });

    /// <summary>Leaves the iteration: the step it stands in did not happen, and so will none of the remaining ones.</summary>
    private void GiveUpSteps(string module, string why)
    {
        while (_frames.Peek().Loop is not CallLoop) _frames.Pop();
        var loop = (CallLoop)_frames.Pop().Loop!;
        Job.HasMissedSteps = true;
        if (loop.Asked is { } asked)
            Job.Warn(Current, module, $"The iteration asked for {asked}, but step {loop.Step} did not happen: {why}. The remaining steps are skipped; what was saved before stays.");
        Complete(loop.Statement);
        Waits = Wait.None;
    }

    /// <summary>What fails ends the job, and nothing is thrown.</summary>
    private void Guarded(Action action)
    {
        try
        {
            action();
        }
        catch (Exception e)
        {
            Job.Fail(e is ExternalException or OutOfMemoryException ? Faults.Of(e, "The statement") : e, Current);
        }
        if (Job.HasFailed) Waits = Wait.Done;
    }

    private void Step()
    {
        Frame frame = _frames.Peek();
        if (frame.Next == frame.Nodes.Length)
        {
            Leave(frame);
            return;
        }
        Current = frame.Nodes[frame.Next];
        Statement statement = _plan.Statements[Current]!;
        foreach (uint need in statement.Needs)
        {
            if (_slots.Has(need)) continue;
            if (Within?.StillComputes(this, need) == true) (Waits, Needed) = (Wait.Value, need);
            else if (Job.HasMissedSteps && InIteration) GiveUpSteps("", "another invoke's step, whose value it uses, did not happen either");
            else _ = _slots[need]; // says what is missing
            return;
        }
        if (Execute(statement)) Complete(statement);
    }

    /// <summary>A region has ended: the next turn of its loop, or the statement that holds it is complete.</summary>
    private void Leave(Frame frame)
    {
        if (frame.Loop is { } loop && loop.Next(Job) is { } next)
        {
            Begin(frame, next);
            return;
        }
        _frames.Pop();
        if (frame.Block is { } block) block.HasEnded = true; // the statement that it belongs to goes on
        else if (_frames.Count == 0) Waits = Wait.Done;
        else Complete(_plan.Statements[_frames.Peek().Nodes[_frames.Peek().Next]]!);
    }

    /// <summary>Enters a loop. True if it had no turn at all.</summary>
    private bool Enter(Loop loop)
    {
        if (loop.Next(Job) is not { } first) return true;
        var frame = new Frame([]) { Loop = loop };
        Begin(frame, first);
        _frames.Push(frame);
        return false;
    }

    /// <summary>A new turn forgets the values of the one before, so that a branch not taken now has none.</summary>
    private void Begin(Frame frame, uint region)
    {
        foreach (uint node in _plan.NodesBelow(region))
            if (!Job.IsHeld(node)) _slots.Free(node);
        (frame.Nodes, frame.Next) = (_plan.Regions[region], 0);
    }

    /// <summary>Leaves the innermost loop.</summary>
    private void BreakOut()
    {
        while (_frames.Peek().Loop is null) _frames.Pop();
        Complete(_frames.Pop().Loop!.Statement);
    }

    private void Complete(Statement statement)
    {
        foreach (uint node in statement.Frees)
            if (!Job.IsHeld(node)) _slots.Free(node);
        _frames.Peek().Next++;
    }

    /// <summary>A region that is being run, and where in it.</summary>
    private sealed class Frame(uint[] nodes)
    {
        public uint[] Nodes { get; set; } = nodes;

        public int Next { get; set; }

        /// <summary>What runs these statements within its own: a backward pass, or a call of a module that the program defines.</summary>
        public Block? Block { get; init; }

        /// <summary>The loop whose turn this is.</summary>
        public Loop? Loop { get; init; }
    }
}
