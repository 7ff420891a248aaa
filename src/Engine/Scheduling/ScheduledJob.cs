using Ndif.Engine.Batching;
using Ndif.Engine.HookedModels;
using Ndif.Engine.Interleaving;
using Ndif.Engine.Running;

namespace Ndif.Engine.Scheduling;

/// <summary>A job with its session.</summary>
internal sealed class ScheduledJob(JobRun run, Action? onEnded)
{
    private long _suspectPasses;

    public JobRun Run => run;

    public Action? OnEnded => onEnded;

    public Interpreter Session { get; private set; } = new(run, 0, null);

    /// <summary>The trace at which the session stands, or null.</summary>
    public TraceRun? Trace { get; private set; }

    /// <summary>The trace with its inputs; null if they are not valid, which has failed the job.</summary>
    public IPreparedTrace? Prepared { get; private set; }

    /// <summary>Whether the pass over the prompts of the trace has begun.</summary>
    public bool HasStarted { get; set; }

    /// <summary>Whether its traces share no pass with those of other jobs: it was too slow, or is a suspect.</summary>
    public bool IsAlone => NeedsOwnTurn || IsSuspect;

    /// <summary>
    /// Whether a pass that it shared has failed, perhaps because of it. It runs alone until it has run as many passes again as it had then.
    /// </summary>
    public bool IsSuspect => _suspectPasses > 0;

    /// <summary>Whether it never runs in the middle of the turn of another job, which would have to wait for it: it was too slow.</summary>
    public bool NeedsOwnTurn { get; set; }

    /// <summary>The thread of its turns, which can be suspended; null for a job without local calls, which can start again.</summary>
    public JobThread? Thread { get; } = run.Plan.HasLocalCalls ? new JobThread() : null;

    /// <summary>Its turn that is suspended, or null.</summary>
    public Turn? Suspended { get; set; }

    /// <summary>Whether its suspended turn may go on: what it waits for is there, or it was cancelled.</summary>
    public bool CanResume => Suspended is not null && (Thread!.Awaited!.IsCompleted || run.IsStopped);

    /// <summary>
    /// The time after which its turn ends, if jobs of other owners wait for turns of their own. A job that can be suspended goes on later;
    /// another one starts again, with twice the time, so that at most half of what it computes is lost. Initially 2 s.
    /// </summary>
    public TimeSpan OwnTurnLimit { get; set; } = TimeSpan.FromSeconds(2);

    /// <summary>What jobs of other owners had computed that started again with it, because a pass that they shared has failed.</summary>
    public TimeSpan LostByOthers { get; private set; }

    /// <summary>Reads the inputs of the trace at which the session stands.</summary>
    public void BeginTrace(HookedModel model)
    {
        Trace = new TraceRun(run, Session.AwaitedTrace!);
        Prepared = model.Prepare(Trace);
    }

    public void EndTrace()
    {
        Trace?.Dispose();
        (Trace, Prepared, HasStarted) = (null, null, false);
    }

    /// <summary>Starts the job again from its beginning, in turns of its own.</summary>
    public void RestartAlone()
    {
        Restart();
        NeedsOwnTurn = true;
    }

    /// <summary>Starts the job again from its beginning, as a suspect.</summary>
    /// <param name="lostByOthers">What the jobs of other owners lose that shared the pass which has failed.</param>
    public void RestartAsSuspect(TimeSpan lostByOthers)
    {
        long passes = run.ForwardPassCount;
        Restart();
        _suspectPasses = Math.Max(_suspectPasses, Math.Max(1, passes));
        LostByOthers += lostByOthers;
    }

    /// <summary>Ends the suspicion if the job has run the passes alone. Returns whether it was a suspect until now.</summary>
    public bool TryClearSuspicion()
    {
        if (!IsSuspect || run.HasFailed || run.ForwardPassCount < _suspectPasses) return false;
        (_suspectPasses, LostByOthers) = (0, TimeSpan.Zero);
        return true;
    }

    /// <summary>What it has computed in passes with others is not charged.</summary>
    private void Restart()
    {
        EndTrace();
        if (!IsAlone) run.ExecutionTimer?.Discard();
        run.Restart();
        Session = new Interpreter(run, 0, null);
    }
}
