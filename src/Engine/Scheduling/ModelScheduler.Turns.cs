using System.Diagnostics;
using Ndif.Engine.Running;
using Ndif.Models;
using TorchSharp;

namespace Ndif.Engine.Scheduling;

/// <summary>What runs in the middle of a long turn (5), and how long the statements of a job may keep others waiting.</summary>
internal sealed partial class ModelScheduler
{
    private Turn? _turn;
    private long _lastStatement;

    /// <summary>
    /// A job leaves a turn that others wait for, those in the same pass or in whose middle it runs, when its statements have taken this
    /// time more than the rest of the turn. It starts again in turns of its own. Default 250 ms.
    /// </summary>
    public TimeSpan MaxStatementTime { get; init; } = TimeSpan.FromMilliseconds(250);

    /// <summary>Between two modules of a pass: lets the others go on if the pass is long.</summary>
    private void OnPreemptionPoint()
    {
        if (_turn is { Interrupted: null, PromptTokens: { } tokens, IsSliceOver: true } turn) Interrupt(turn, tokens / 2);
    }

    /// <summary>
    /// Between two statements that a pass or another statement contains, and between two parts of a long one: lets the others go on.
    /// </summary>
    private void OnStatementEnded(JobRun job)
    {
        if (_turn is not { } turn || !turn.Jobs.Contains(job)) return;
        long now = Stopwatch.GetTimestamp();
        if (turn.KeepsOthersWaiting)
        {
            turn.AddStatement(job, Stopwatch.GetElapsedTime(_lastStatement, now));
            if (IsTooSlow(turn, job) && (turn.Jobs.Count > 1 || !NeedsOwnTurn(job)))
            {
                turn.OnPreempted(job);
                job.Preempt();
            }
        }
        if (turn is { Interrupted: null, IsSliceOver: true } && !job.HasFailed)
        {
            Interrupt(turn, long.MaxValue);
            now = Stopwatch.GetTimestamp();
        }
        _lastStatement = now;
    }

    /// <summary>Whether the statements of a job, with those of its owner's jobs that have left the turn, keep the others waiting.</summary>
    private bool IsTooSlow(Turn turn, JobRun job)
    {
        TimeSpan excess = turn.ExcessOf(job);
        if (excess > TimeSpan.Zero) excess += turn.ExcessOfPreempted(job.Owner);
        return job.DelayOfOthers + excess > MaxStatementTime;
    }

    /// <summary>Lets the others go on in the middle of a turn. Their time is not charged to its jobs.</summary>
    /// <param name="maxTokens">The tokens of the prompts that may run.</param>
    private void Interrupt(Turn turn, long maxTokens)
    {
        long start = Stopwatch.GetTimestamp();
        int[] sharers = [.. turn.Jobs.Select(job => job.ExecutionTimer?.Suspend() ?? 0)];
        RunOthers(maxTokens);
        for (int i = 0; i < sharers.Length; i++)
            if (sharers[i] > 0) turn.Jobs[i].ExecutionTimer!.Start(sharers[i]);
        turn.Resume(Stopwatch.GetElapsedTime(start));
    }

    /// <summary>Lets the others go on while a job waits for the answer of its client.</summary>
    private void RunWhileWaiting()
    {
        (Turn turn, long start) = (_turn!, Stopwatch.GetTimestamp());
        RunOthers(long.MaxValue);
        turn.Resume(Stopwatch.GetElapsedTime(start));
    }

    /// <summary>Runs what can run in the middle of the current turn.</summary>
    private void RunOthers(long maxTokens)
    {
        using (Work.BeginPass([]))
        using (SiteHook.Register(null))
        using (model.SuspendGrad())
        using (torch.no_grad())
        using (torch.NewDisposeScope())
        {
            onPreemptionPoint?.Invoke();
            RunSessions();
            RunPrefill(maxTokens);
            RunBatches();
            if (maxTokens == long.MaxValue && model.CanBatch
                && (TakeNext(_exclusive, job => CanStartNow(job) && !_turn!.HasOwner(job.Run.Owner)) ?? TakeNext(_exclusive, CanStartNow))
                    is { } exclusive) Start([exclusive]); // an owner's turn is not charged before it ends
            RunStatements(isUrgent: false);
        }
    }

    /// <summary>Notes how long a job has kept others waiting in a turn that ends. The earlier, the less it counts.</summary>
    private static void AddDelays(Turn turn)
    {
        const double Kept = 0.9;
        if (!turn.KeepsOthersWaiting) return;
        foreach (JobRun job in turn.Jobs) job.DelayOfOthers = Kept * job.DelayOfOthers + turn.ExcessOf(job);
    }

    private bool NeedsOwnTurn(JobRun run) => _jobs.Find(job => job.Run == run) is { NeedsOwnTurn: true };

    /// <summary>Whether a trace that shares no pass may start in the middle of the current turn.</summary>
    private static bool CanStartNow(ScheduledJob job) => job is { NeedsOwnTurn: false, HasLocalCalls: false };

    /// <summary>Whether a job is not part of a turn that has begun, and may run in the middle of those that have.</summary>
    private bool CanRunNow(ScheduledJob job) => _turn is null || (!job.NeedsOwnTurn && !_turn.Includes(job.Run));
}
