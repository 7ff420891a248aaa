using System.Diagnostics;
using Ndif.Engine.Interleaving;
using Ndif.Engine.Running;
using Ndif.Models;
using TorchSharp;

namespace Ndif.Engine.Scheduling;

/// <summary>What runs in the middle of a long turn (5), and how long the statements of a job may keep others waiting.</summary>
internal sealed partial class ModelScheduler
{
    /// <summary>The turns, each in the middle of another, in whose middle others run: every one takes memory and stack.</summary>
    private const int MaxInterruptedTurns = 4;

    private Turn? _turn;
    private int _turnCount;
    private long _lastStatement;

    /// <summary>
    /// A job leaves a turn that others wait for, those in the same pass or in whose middle it runs, when its statements have taken this
    /// time more than the rest of the turn. It starts again in turns of its own. Default 250 ms.
    /// </summary>
    public TimeSpan MaxStatementTime { get; init; } = TimeSpan.FromMilliseconds(250);

    /// <summary>Between two modules of a pass: lets the others go on if the pass is long.</summary>
    private void OnPreemptionPoint()
    {
        if (_turn is { Depth: < MaxInterruptedTurns, PromptTokens: { } tokens, IsSliceOver: true } turn) Interrupt(turn, tokens / 2);
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
            if (IsTooSlow(turn, job, TimeSpan.Zero)) Preempt(turn, job);
        }
        bool othersCanRun = job.Limits.IsBesideOthers ? turn.Depth < MaxInterruptedTurns : turn is { Interrupted: null, IsSliceOver: true };
        if (othersCanRun && !job.HasFailed)
        {
            if (FindOverrun(turn, job) is { } overrun) EndOwnTurn(turn, overrun);
            else Interrupt(turn, long.MaxValue);
            now = Stopwatch.GetTimestamp();
        }
        _lastStatement = now;
    }

    /// <summary>A statement of a job is about to take this time.</summary>
    private void BeforeLongOperation(JobRun job, TimeSpan time)
    {
        if (_turn is { KeepsOthersWaiting: true } turn && turn.Jobs.Contains(job) && IsTooSlow(turn, job, time)) Preempt(turn, job);
    }

    /// <summary>Whether the statements of a job keep the others waiting; those of its owner's jobs count too, for other owners.</summary>
    /// <param name="next">The time that its current statement will take.</param>
    private bool IsTooSlow(Turn turn, JobRun job, TimeSpan next) => turn.ExcessOf(job, next)
        + (turn.HasOtherOwners(job.Owner) ? _delays.Of(job.Owner) : job.DelayOfOthers) > MaxStatementTime;

    /// <summary>Takes a job out of a turn, unless the turn is its own already, or the job is reporting its results.</summary>
    private void Preempt(Turn turn, JobRun run)
    {
        if (run.IsFinishing) return;
        ScheduledJob? job = Find(run);
        if (turn.Jobs.Count == 1 && job is { NeedsOwnTurn: true }) return;
        if (job?.Thread is not null)
        {
            job.NeedsOwnTurn = true;
            Yield(job);
            return;
        }
        turn.OnPreempted(run);
        run.Preempt();
    }

    /// <summary>Whether jobs of this owner have kept other owners waiting for so long that none of them shares a pass now.</summary>
    private bool HasDelayedOthers(string owner) => _delays.Of(owner) > MaxStatementTime;

    private void BeginTurn(Turn turn)
    {
        _turn = turn;
        _turnCount++;
    }

    /// <summary>Ends the current turn. Its last slice of time counts for the owners of its jobs by their parts of it.</summary>
    private void EndTurn(IReadOnlyList<JobRun> jobs, IReadOnlyList<double> parts)
    {
        Turn turn = _turn!;
        AddDelays(turn);
        BeginCooldowns(jobs, parts, turn.SinceResumed);
        _turn = turn.Interrupted;
    }

    /// <summary>Jobs have had a slice of time: their owners let the others have as much, by their weights.</summary>
    private void BeginCooldowns(IReadOnlyList<JobRun> jobs, IReadOnlyList<double> parts, TimeSpan time)
    {
        double total = parts.Sum();
        foreach (var owner in jobs.Index().GroupBy(job => job.Item.Owner))
        {
            double others = _jobs.Where(job => job.Run.Owner != owner.Key).Select(job => job.Run.Weight).DefaultIfEmpty(1).Max();
            double part = total > 0 ? owner.Sum(job => parts[job.Index]) / total : 1;
            _cooldowns.Begin(owner.Key, time * part * (others / owner.First().Item.Weight));
        }
    }

    /// <summary>Whether an owner has just had a turn, and another owner who can run has not, or waits for less time.</summary>
    private bool Yields(string owner) => _cooldowns.IsCoolingDown(owner, out long end)
        && _jobs.Exists(job => job.Run.Owner != owner && CanRunNow(job) && _cooldowns.EndOf(job.Run.Owner) < end);

    /// <summary>The job if it has a turn to itself and its time is over, while other owners wait for such turns.</summary>
    private ScheduledJob? FindOverrun(Turn turn, JobRun run) =>
        turn.Jobs.Count == 1 && !run.IsFinishing && Find(run) is { } job && turn.OwnSinceSuspended >= job.OwnTurnLimit
            && JobsWithoutTurn().Any(other => other.Run.Owner != run.Owner) ? job : null;

    /// <summary>The jobs that wait for a turn of their own, which is not in the middle of another one.</summary>
    private IEnumerable<ScheduledJob> JobsWithoutTurn() =>
        ExclusiveJobs().Where(job => !CanInterrupt(job)).Concat(_jobs.Where(job => job.Run.IsPreempted))
            .Concat(_unfinished.Where(job => job.NeedsOwnTurn));

    /// <summary>Ends the turn of a job before its pass has ended. Its owner has had it, although it has computed no tokens.</summary>
    private void EndOwnTurn(Turn turn, ScheduledJob job)
    {
        BeginCooldowns(turn.Jobs, [1], turn.OwnSinceSuspended);
        if (job.Thread is not null) Yield(job);
        else
        {
            job.OwnTurnLimit *= 2;
            job.Run.Preempt();
        }
    }

    /// <summary>
    /// Lets the others go on in the middle of a turn, for as long as its last slice was. Their time is not charged to its jobs.
    /// </summary>
    /// <param name="maxTokens">The tokens of the prompts that may run.</param>
    private void Interrupt(Turn turn, long maxTokens)
    {
        (long start, TimeSpan slice) = (Stopwatch.GetTimestamp(), turn.SinceResumed);
        int[] sharers = [.. turn.Jobs.Select(job => job.ExecutionTimer?.Suspend() ?? 0)];
        BeginCooldowns(turn.Jobs, [.. turn.Jobs.Select(_ => 1.0)], slice);
        int turns;
        do
        {
            turns = _turnCount;
            RunOthers(maxTokens);
        } while (_turnCount > turns && Stopwatch.GetElapsedTime(start) < (slice > MinTimeSlice ? slice : MinTimeSlice)
            && _jobs.Exists(job => CanRunNow(job) && !turn.HasOwner(job.Run.Owner)));
        for (int i = 0; i < sharers.Length; i++)
            if (sharers[i] > 0) turn.Jobs[i].ExecutionTimer!.Start(sharers[i]);
        turn.Resume(Stopwatch.GetElapsedTime(start));
    }

    /// <summary>Lets the others go on while a job waits: for its values to be written, or for an operation to stop.</summary>
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
                && !RunExclusive(job => CanStartNow(job) && !_turn!.HasOwner(job.Run.Owner)) && _turn!.Interrupted is null)
                RunExclusive(CanStartNow); // an owner's turn is not charged before it ends
            RunStatements();
        }
    }

    /// <summary>Notes how long a job has kept others waiting in a turn that ends. The earlier, the less it counts.</summary>
    private void AddDelays(Turn turn)
    {
        const double Kept = 0.9;
        if (!turn.KeepsOthersWaiting) return;
        foreach (JobRun job in turn.Jobs) job.DelayOfOthers = Kept * job.DelayOfOthers + turn.ExcessOf(job);
        foreach (JobRun job in turn.Jobs.DistinctBy(job => job.Owner))
            if (turn.HasOtherOwners(job.Owner)) _delays.Add(job.Owner, turn.ExcessOf(job));
    }

    /// <summary>A pass that jobs share has failed because of one of them: each starts again from its beginning, alone.</summary>
    private void RestartAsSuspects(List<TraceRun> traces)
    {
        var pass = new FailedPass(_delays);
        foreach (ScheduledJob job in _jobs)
            if (job.Trace is { } trace && traces.Contains(trace)) job.OnSharedPassFailed(pass);
    }

    private ScheduledJob? Find(JobRun run) => _jobs.Find(job => job.Run == run);

    /// <summary>Whether a trace that shares no pass may run in the middle of turns of others, which then wait for it.</summary>
    private bool CanInterrupt(ScheduledJob job) => !job.NeedsOwnTurn && !HasDelayedOthers(job.Run.Owner);

    /// <summary>Whether a trace that shares no pass may start in the middle of the current turn.</summary>
    private bool CanStartNow(ScheduledJob job) => CanInterrupt(job) && !Yields(job.Run.Owner);

    /// <summary>
    /// Whether a job waits for nothing, is not part of a turn that has begun, and may run in the middle of those that have.
    /// </summary>
    private bool CanRunNow(ScheduledJob job) => (job.Suspended is null || job.CanResume) && CanHaveThread(job)
        && (_turn is null || (!job.NeedsOwnTurn && !_turn.Includes(job.Run)));
}
