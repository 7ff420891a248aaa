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
    /// The time, beyond that of the rest of a turn, after which the statements of a job leave a turn that others wait for: those in the same
    /// pass, or those in whose middle it runs. It starts again in turns of its own. Default 250 ms.
    /// </summary>
    public TimeSpan MaxStatementTime { get; init; } = TimeSpan.FromMilliseconds(250);

    /// <summary>Between two modules of a pass: lets the others go on if the pass is long.</summary>
    private void OnPreemptionPoint()
    {
        if (_turn is { Interrupted: null, PromptTokens: { } tokens, IsSliceOver: true } turn) Interrupt(turn, tokens / 2);
    }

    /// <summary>Between two statements that a pass or another statement contains: lets the others go on.</summary>
    private void OnStatementEnded(JobRun job)
    {
        if (_turn is not { } turn || !turn.Jobs.Contains(job)) return;
        long now = Stopwatch.GetTimestamp();
        if (turn.Jobs.Count > 1 || turn.Interrupted is not null)
        {
            TimeSpan statements = turn.AddStatement(job, Stopwatch.GetElapsedTime(_lastStatement, now));
            bool canRestart = turn.Jobs.Count > 1 || _jobs.Find(scheduled => scheduled.Run == job) is { NeedsOwnTurn: false };
            if (canRestart && statements > MaxStatementTime && statements + statements > MaxStatementTime + turn.Own) job.Withdraw();
        }
        if (turn is { Interrupted: null, IsSliceOver: true } && !job.HasFailed)
        {
            Interrupt(turn, long.MaxValue);
            now = Stopwatch.GetTimestamp();
        }
        _lastStatement = now;
    }

    /// <summary>Lets the others go on in the middle of a turn. Their time is not charged to its jobs.</summary>
    /// <param name="maxTokens">The tokens of the prompts that may run.</param>
    private void Interrupt(Turn turn, long maxTokens)
    {
        long start = Stopwatch.GetTimestamp();
        int[] sharers = [.. turn.Jobs.Select(job => job.OwnTime?.Suspend() ?? 0)];
        RunOthers(maxTokens);
        for (int i = 0; i < sharers.Length; i++)
            if (sharers[i] > 0) turn.Jobs[i].OwnTime!.Start(sharers[i]);
        turn.Resume(Stopwatch.GetElapsedTime(start));
    }

    /// <summary>Runs what can run in the middle of the current turn.</summary>
    private void RunOthers(long maxTokens)
    {
        using (Work.BeginPass([]))
        using (SiteHook.Register(null))
        using (torch.no_grad())
        using (torch.NewDisposeScope())
        {
            onPreemptionPoint?.Invoke();
            RunSessions();
            RunPrefill(maxTokens);
            RunBatches();
            // the parameters of a graph are those of the model meanwhile
            if (maxTokens == long.MaxValue && model.CanBatch && _turn!.HasNoGraph
                && TakeNext(_exclusive, job => job is { NeedsOwnTurn: false, HasLocalCalls: false }) is { } exclusive) Start([exclusive]);
            RunStatements();
        }
    }

    /// <summary>Whether a job is not part of a turn that has begun, and may run in the middle of those that have.</summary>
    private bool CanRunNow(ScheduledJob job) => _turn is null || (!job.NeedsOwnTurn && !_turn.Includes(job.Run));
}
