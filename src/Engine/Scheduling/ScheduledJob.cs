using Ndif.Engine.Batching;
using Ndif.Engine.HookedModels;
using Ndif.Engine.Interleaving;
using Ndif.Engine.Running;

namespace Ndif.Engine.Scheduling;

/// <summary>A job with its session.</summary>
internal sealed class ScheduledJob(JobRun run, Action? onEnded)
{
    /// <summary>How often a job starts again because a pass that it shared has failed.</summary>
    private const int MaxFailedPasses = 2;

    private FailedPass? _failedPass;
    private int _failedPassCount;
    private long _suspectPasses; // with which it is cleared
    private bool _mayBeAtFault; // for its trace may edit the model

    public JobRun Run => run;

    public Action? OnEnded => onEnded;

    public Interpreter Session { get; private set; } = new(run, 0, null);

    /// <summary>The trace at which the session stands, or null.</summary>
    public TraceRun? Trace { get; private set; }

    /// <summary>The trace with its inputs; null if they are not valid, which has failed the job.</summary>
    public IPreparedTrace? Prepared { get; private set; }

    /// <summary>Whether the pass over the prompts of the trace has begun.</summary>
    public bool HasStarted { get; set; }

    /// <summary>
    /// Whether its traces share no pass with those of other jobs: it was too slow, is a suspect, or has started again because of others as
    /// often as a job does.
    /// </summary>
    public bool IsAlone => NeedsOwnTurn || IsSuspect || _failedPassCount >= MaxFailedPasses;

    /// <summary>
    /// Whether a pass that it shared has failed, perhaps because of it. It runs alone until it has run as many passes again as it had then.
    /// </summary>
    public bool IsSuspect => _failedPass is not null;

    /// <summary>
    /// Whether it never runs in the middle of the turn of another job, which would have to wait for it: it was too slow, or has ended there
    /// with much to copy.
    /// </summary>
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

    /// <summary>
    /// A pass that it shares has failed: it starts again from its beginning, as a suspect. One that has failed by itself in this pass is a
    /// suspect too, and ends; one that was preempted starts again later.
    /// </summary>
    public void OnSharedPassFailed(FailedPass pass)
    {
        if (run.HasFailed && Trace!.HasEnded) return; // it had left before this pass
        pass.AddSuspect(run.Owner, run.HasFailed || run.ExecutionTimer is not { } timer ? TimeSpan.Zero : timer.Used);
        (_suspectPasses, _mayBeAtFault) = (Math.Max(1, run.ForwardPassCount), run.Plan.MayEdit(Trace!.Statement));
        if (!run.HasFailed) Restart();
        else if (run.IsPreempted) run.ExecutionTimer?.Discard();
        _failedPass = pass;
        _failedPassCount++;
    }

    /// <summary>Clears a suspect if it has run the passes alone. Returns whether it was a suspect until now.</summary>
    public bool TryClear()
    {
        if (!IsSuspect || run.HasFailed || run.ForwardPassCount < _suspectPasses) return false;
        EndSuspicion(pass => pass.OnCleared());
        return true;
    }

    /// <summary>Its pass has failed in the model, alone.</summary>
    public void OnFailedInModel() => EndSuspicion(pass => pass.OnFoundAtFault(run.Owner));

    /// <summary>It ends: a suspect was not found to be at fault, and perhaps not cleared.</summary>
    public void EndSuspicion() => EndSuspicion(pass =>
    {
        if (run.HasFailed && _mayBeAtFault) pass.OnEnded(run.Owner);
        else pass.OnCleared();
    });

    private void EndSuspicion(Action<FailedPass> end)
    {
        if (_failedPass is not { } pass) return;
        _failedPass = null;
        end(pass);
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
