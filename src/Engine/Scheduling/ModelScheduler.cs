using System.Diagnostics;
using Ndif.Engine.Batching;
using Ndif.Engine.Gradients;
using Ndif.Engine.HookedModels;
using Ndif.Engine.Interleaving;
using Ndif.Engine.Reuse;
using Ndif.Engine.Running;
using Ndif.Protocol;
using TorchSharp;

namespace Ndif.Engine.Scheduling;

/// <summary>
/// Runs the programs of jobs on one model, a pass at a time, on the calling thread. Jobs can be added between any two passes.
/// 1. Every session runs until it stands at a trace or has ended. After a slice of time those that have not take turns: one has the next
///    slice at each step, of the owner who has had the least for its weight.
/// 2. The next pass is chosen in turn: the prompts of the traces that wait, a step of each batch that generates, or a trace that has to
///    have its pass to itself. So no trace waits longer than for one of each. Where not all traces fit in a pass or in the memory of the
///    cache, those of the owner go first who has had the least service for its weight (<see cref="OwnerShares"/>); of that memory, each
///    owner has a part (<see cref="OwnerMemory"/>).
/// 3. Traces whose prompts have run join the batch that generates.
/// 4. Sessions go on after their traces as soon as these have ended.
/// 5. A long pass is preempted between and inside of its modules, so that the others generate and shorter prompts run, and between two of
///    its statements. A job that waits for what it saves to be written lets them go on in the same way. What runs in the middle of another
///    turn, or shares a pass, must not keep the others waiting with its statements: it starts again alone (ModelScheduler.Turns.cs).
///    A job that waits for the answer of its client is suspended (ModelScheduler.Suspension.cs).
/// 6. If a pass that several jobs share fails in the model, each of its jobs runs again alone, so that the job at fault is found. Its
///    owner has kept the others waiting for the time that they have lost (<see cref="FailedPass"/>), which is not charged. Those that have
///    passed that point share passes again, until it happens to them a second time: then they run alone to their end.
/// 7. After a turn, whatever it was, its owners let the others have as much time before their next one (<see cref="OwnerCooldowns"/>).
/// </summary>
/// <param name="maxCacheBytes">
/// The memory for keys and values of all jobs, of which one owner has at most three quarters. A trace waits until its own fit.
/// </param>
/// <param name="onPreemptionPoint">Called between passes and in long ones; it may add jobs.</param>
/// <param name="prefixes">The tokens of earlier passes; by default, those of this scheduler's jobs.</param>
internal sealed partial class ModelScheduler(HookedModel model, long maxCacheBytes = long.MaxValue, Action? onPreemptionPoint = null,
    PrefixCache? prefixes = null) : IDisposable
{
    /// <summary>The memory of the tokens of earlier passes of this scheduler's jobs, in bytes.</summary>
    private const long PrefixBytes = 256L << 20;

    /// <summary>The tokens of the prompts that share a pass, padding included. A longer prompt has a pass to itself.</summary>
    private const int MaxPrefillTokens = 512;

    /// <summary>
    /// The rows of a batch of several owners that generates. More rows of one owner would make every token of the others wait for them.
    /// </summary>
    private const int MaxSharedRows = 32;

    /// <summary>The bytes that a job copies of its saved containers when it ends in the middle of the turn of another.</summary>
    private const long MaxNestedCopyBytes = 32 << 20;

    private readonly List<ScheduledJob> _jobs = [];
    private readonly List<ITraceBatch> _batches = [];
    private readonly HashSet<ITraceBatch> _stepping = [];
    private readonly List<ScheduledJob> _waiting = [], _exclusive = [];
    private readonly List<ScheduledJob> _unfinished = []; // their slices ended between two statements
    private readonly OwnerShares _shares = new(), _statementShares = new();
    private readonly OwnerCooldowns _cooldowns = new();
    private readonly OwnerDelays _delays = new();
    private readonly PrefixCache _prefixes = prefixes ?? new PrefixCache(PrefixBytes);

    /// <summary>
    /// A pass runs for at least this time before it is preempted, and for as long as the passes in between have taken. The statements of
    /// sessions run for this time before others do. Default 5 ms.
    /// </summary>
    public TimeSpan MinTimeSlice { get; init; } = TimeSpan.FromMilliseconds(5);

    /// <summary>What the calling thread does.</summary>
    public CurrentWork Work { get; init; } = new();

    /// <summary>The number of jobs that have not ended.</summary>
    public int JobCount => _jobs.Count;

    /// <summary>Adds a job.</summary>
    /// <param name="onEnded">
    /// Called on the thread of <see cref="Step"/> when the job has ended. A failure is reported by the job (<see cref="JobRun.Error"/>).
    /// </param>
    public void Add(JobRun job, Action? onEnded = null)
    {
        var scheduled = new ScheduledJob(job, onEnded);
        (job.RunOthers, job.HasOthers, job.Work) = (RunWhileWaiting, () => onPreemptionPoint is not null || _jobs.Count > 1, Work);
        if (scheduled.Thread is not null) job.Suspend = awaited => Suspend(scheduled, awaited);
        (job.OnStatementsStarted, job.OnStatementEnded) = (() => _lastStatement = Stopwatch.GetTimestamp(), () => OnStatementEnded(job));
        (job.OnOperationPart, job.BeforeLongOperation) = (job.OnStatementEnded, time => BeforeLongOperation(job, time));
        _shares.AddJob(job.Owner);
        _statementShares.AddJob(job.Owner);
        _jobs.Add(scheduled);
    }

    /// <summary>Lets the sessions go on, and runs each kind of pass once for which a trace waits.</summary>
    public void Step()
    {
        using var noGraph = torch.no_grad();
        using var scope = torch.NewDisposeScope();
        int turns = _turnCount;
        RunSessions(); // 1
        RunPrefill();
        RunBatches();
        RunExclusive(job => !Yields(job.Run.Owner));
        RunStatements();
        if (_turnCount > turns) return;
        _cooldowns.Clear(); // those who could run cannot, for example because there is no memory for them
        WaitForSuspended();
    }

    public void Dispose()
    {
        foreach (ScheduledJob job in _jobs.ToList())
        {
            (_turn, job.Suspended) = (job.Suspended, null);
            job.Thread?.Dispose();
        }
        foreach (ITraceBatch batch in _batches) batch.Dispose();
        _batches.Clear();
        if (prefixes is null) _prefixes.Dispose();
    }

    /// <summary>Runs the prompts of traces that wait, in one pass.</summary>
    private void RunPrefill(long maxTokens = long.MaxValue)
    {
        _waiting.RemoveAll(job => job.Run.CheckCancelled());
        if (_waiting.Count == 0) return;
        List<ScheduledJob> pass = [], candidates = [.. _waiting.Where(job => TokenCount([job]) <= maxTokens)];
        // the owner of turns that are nested already may have a long operation in each
        candidates.RemoveAll(job => Yields(job.Run.Owner) || (_turn is { Depth: > 0 } turn && turn.HasOwner(job.Run.Owner)));
        Dictionary<string, double> service = candidates.Select(job => job.Run.Owner).Distinct().ToDictionary(o => o, _shares.ServiceOf);
        OwnerMemory cache = NewCacheMemory();
        while (candidates.MinBy(job => service[job.Run.Owner]) is { } next)
        {
            candidates.Remove(next);
            long bytes = CacheBytes(next);
            if (bytes > 0 && !cache.Fits(next.Run.Owner, bytes))
            {
                // a trace that needs more memory than is left is not overtaken by those of its owner that need less
                candidates.RemoveAll(job => job.Run.Owner == next.Run.Owner && CacheBytes(job) > 0);
                continue;
            }
            if (pass.Count > 0 && TokenCount([.. pass, next]) > MaxPrefillTokens) continue;
            pass.Add(next);
            if (bytes > 0) cache.Take(next.Run.Owner, bytes);
            service[next.Run.Owner] += TokenCount([next]) / next.Run.Weight;
        }
        if (pass.Count == 0) return;
        _waiting.RemoveAll(pass.Contains);
        Start(pass);
    }

    /// <summary>The tokens of a pass over the prompts of these traces.</summary>
    private static long TokenCount(IReadOnlyList<ScheduledJob> jobs) =>
        jobs.Sum(job => (long)job.Prepared!.RowCount) * jobs.Max(job => job.Prepared!.SequenceLength);

    /// <summary>Runs a step of each batch that generates. One of many rows is preempted as a long prompt is.</summary>
    private void RunBatches()
    {
        foreach (ITraceBatch batch in _batches.ToList())
        {
            // a nested call may have ended it, or it stands in the middle of a step
            if (!_batches.Contains(batch) || _stepping.Contains(batch)) continue;
            if (_jobs.Any(job => !CanRunNow(job) && batch.Traces.Contains(job.Trace))) continue;
            if (batch.Traces.Any() && batch.Traces.All(trace => Yields(trace.Job.Owner))) continue;
            RunTurn(_jobs.Find(job => job is { Thread: not null, Trace: { } trace } && batch.Traces.Contains(trace)), () => RunStep(batch));
            RunSessions(); // 4
        }
    }

    private void RunStep(ITraceBatch batch)
    {
        int rows = RowCount(batch);
        _stepping.Add(batch);
        bool hasRun = TryRun([.. batch.Traces], batch.Step, rows > MaxSharedRows ? rows : null);
        _stepping.Remove(batch);
        if (hasRun && !batch.HasEnded)
        {
            if (_jobs.Exists(job => job.IsSuspect && batch.Traces.Contains(job.Trace) && job.TryClear())) Join(batch);
            return;
        }
        _batches.Remove(batch);
        batch.Dispose();
    }

    /// <summary>
    /// Runs a trace that shares no pass, or lets a suspended pass go on: that of the owner who has had the least service. Returns false if
    /// there is none.
    /// </summary>
    private bool RunExclusive(Func<ScheduledJob, bool> isPossible)
    {
        _exclusive.RemoveAll(job => job.Run.CheckCancelled());
        if (ExclusiveJobs().Where(job => (job.Suspended is not null && job.Run.IsStopped) || isPossible(job))
            .MinBy(job => _shares.ServiceOf(job.Run.Owner)) is not { } next) return false;
        if (_exclusive.Remove(next)) Start([next]);
        else
        {
            Resume(next);
            RunSessions(); // 4
        }
        return true;
    }

    /// <summary>
    /// The jobs that wait for a pass that they share with no other, for which there is memory, or whose pass was suspended and can go on.
    /// </summary>
    private IEnumerable<ScheduledJob> ExclusiveJobs()
    {
        IEnumerable<ScheduledJob> suspended = _jobs.Where(job => job is { Suspended.IsPass: true, CanResume: true });
        if (_exclusive.Count == 0) return suspended;
        OwnerMemory cache = NewCacheMemory();
        return _exclusive.Where(job => HasCacheMemory(cache, job)).Concat(suspended);
    }

    /// <summary>Runs the pass over the prompts of traces. Those that generate join a batch that can take them, or are a new one.</summary>
    private void Start(List<ScheduledJob> jobs)
    {
        List<IPreparedTrace> traces = [.. jobs.Select(job => job.Prepared!)];
        foreach (ScheduledJob job in jobs) job.HasStarted = true;
        RunTurn(jobs.Find(job => job.Thread is not null), () => TryRun([.. traces.Select(trace => trace.Trace)], () =>
        {
            if (model.Start(traces, OnPreemptionPoint, _prefixes) is { } batch) Join(batch); // 3
        }, TokenCount(jobs)));
        RunSessions(); // 4
    }

    private void Join(ITraceBatch batch)
    {
        _batches.Remove(batch);
        bool hasJoined = batch.Traces.All(CanShare) && _batches.Any(running => !_stepping.Contains(running)
            && running.Traces.All(CanShare) && HaveOneOwnerOrFewRows(running, batch) && running.TryAppend(batch));
        if (!hasJoined) _batches.Add(batch);
    }

    private bool HaveOneOwnerOrFewRows(ITraceBatch running, ITraceBatch batch) => RowCount(running) + RowCount(batch) <= MaxSharedRows
        || running.Traces.Concat(batch.Traces).Select(trace => trace.Job.Owner).Distinct().Count() == 1;

    private int RowCount(ITraceBatch batch) =>
        _jobs.Where(job => job.Trace is { } trace && batch.Traces.Contains(trace)).Sum(job => job.Prepared!.RowCount);

    /// <summary>
    /// Runs every session until it waits for a pass or has ended, or a slice of time is over for them together. Those of a turn that has
    /// begun wait, and those whose owner has just had more than a slice.
    /// </summary>
    private void RunSessions()
    {
        (long start, int statements) = (Stopwatch.GetTimestamp(), 0);
        foreach (ScheduledJob job in _jobs.ToList())
        {
            if (!CanRunStatements(job) || (_unfinished.Contains(job) && !job.Run.IsStopped)) continue;
            bool yields = Yields(job.Run.Owner);
            if (yields && job.Suspended is not null && !job.Run.IsStopped) continue;
            RunSession(job, () => yields || (statements++ > 0 && Stopwatch.GetElapsedTime(start) >= MinTimeSlice));
        }
    }

    /// <summary>Runs a slice of the statements that the last one has left.</summary>
    private void RunStatements()
    {
        if (_unfinished.Where(job => CanRunStatements(job) && !Yields(job.Run.Owner))
            .MinBy(job => _statementShares.ServiceOf(job.Run.Owner)) is not { } next) return;
        (long start, int statements) = (Stopwatch.GetTimestamp(), 0);
        RunSession(next, () => statements++ > 0 && Stopwatch.GetElapsedTime(start) >= MinTimeSlice);
    }

    private bool CanRunStatements(ScheduledJob job) => _jobs.Contains(job) && CanRunNow(job) // a nested call may have ended it
        && (job.Trace is not { HasEnded: false } || job.Run.HasFailed)
        && !(job.Run.IsPreempted && (_turn is not null || _batches.Any(batch => batch.Traces.Contains(job.Trace))));

    /// <param name="isSliceOver">Returns whether its statements stop before the next one.</param>
    private void RunSession(ScheduledJob job, Func<bool> isSliceOver)
    {
        if (job.Suspended is not null) Resume(job);
        else RunTurn(job, () => RunSessionTurn(job, isSliceOver));
    }

    private void RunSessionTurn(ScheduledJob job, Func<bool> isSliceOver)
    {
        _unfinished.Remove(job);
        BeginTurn(new Turn([job.Run], [], _turn, MinTimeSlice));
        job.Run.ExecutionTimer?.Start(sharers: 1);
        try
        {
            RunStatements(job, isSliceOver);
        }
        finally
        {
            job.Run.ExecutionTimer?.Stop();
            _statementShares.Charge(job.Run.Owner, job.Run.Weight, _turn!.Own.TotalSeconds);
            EndTurn([job.Run], [1]);
        }
    }

    private void RunStatements(ScheduledJob job, Func<bool> isSliceOver)
    {
        if (job.Run.IsPreempted) job.RestartAlone();
        if (job.Trace is not null)
        {
            _ = job.TryClear();
            job.EndTrace();
            if (!job.Run.HasFailed) job.Session.CompleteTrace();
        }
        if (!job.Run.CheckCancelled() && !job.Session.IsDone)
        {
            using (torch.set_grad_enabled(job.Run.Plan.Autograd.IsUsed)) job.Session.Run(isSliceOver);
        }
        if (job.Run.IsPreempted || (!job.Session.IsDone && job.Session.WaitReason is WaitReason.None)) _unfinished.Add(job);
        else if (job.Session.WaitReason is WaitReason.ForwardPass && !job.Run.HasFailed) Enqueue(job);
        else if (_turn!.Interrupted is not null && job.Run.BytesToCopyAtEnd > MaxNestedCopyBytes)
        {
            job.NeedsOwnTurn = true; // those in whose middle it runs would wait until its results are written
            _unfinished.Add(job);
        }
        else if (Finish(job, isSliceOver)) End(job);
        else _unfinished.Add(job);
        if (job.Trace is null || !job.Run.HasFailed) return;
        if (job.Run.IsPreempted) _unfinished.Add(job);
        else End(job); // its inputs are not valid
    }

    private void Enqueue(ScheduledJob job)
    {
        job.BeginTrace(model);
        if (job.Prepared is null) return;
        try
        {
            job.Run.Limits.RequireMemory("The pass over the prompts", 0, job.Prepared.PassBytes);
            RequireCacheMemory(job);
        }
        catch (Exception e)
        {
            job.Run.Fail(e, job.Trace!.Statement.Id);
            return;
        }
        if (CanShare(job.Trace!)) _waiting.Add(job);
        else _exclusive.Add(job);
    }

    /// <summary>Whether a trace can be in one pass with those of other jobs.</summary>
    private bool CanShare(TraceRun trace) => model.CanBatch && !trace.RequiresGrad && !trace.Job.Plan.IsExclusive
        && !HasDelayedOthers(trace.Job.Owner) && !_jobs.Any(job => job.Trace == trace && job.IsAlone);

    /// <summary>Reports what a job has saved. Returns false if its slice ended before.</summary>
    private static bool Finish(ScheduledJob job, Func<bool> isSliceOver)
    {
        try
        {
            return job.Run.Finish(isSliceOver); // it may wait
        }
        catch (Exception e)
        {
            job.Run.Fail(e, 0);
            return true;
        }
    }

    private void End(ScheduledJob job)
    {
        job.EndSuspicion();
        job.EndTrace();
        _jobs.Remove(job);
        _waiting.Remove(job);
        _exclusive.Remove(job);
        _unfinished.Remove(job);
        _shares.RemoveJob(job.Run.Owner);
        _statementShares.RemoveJob(job.Run.Owner);
        job.Thread?.Dispose();
        job.OnEnded?.Invoke();
    }

    /// <summary>Runs a pass of these traces. Returns false if it has failed in the model.</summary>
    /// <param name="promptTokens">The tokens of its prompts; null for a step of a generation with few rows, which is not preempted.</param>
    private bool TryRun(List<TraceRun> traces, Action run, long? promptTokens = null)
    {
        const int GradientPasses = 3; // forward, and backward through values and weights
        long[] tokens = [.. traces.Select(trace => trace.Job.TokenCount)];
        foreach (TraceRun trace in traces)
        {
            trace.Job.LastWriteNode = null;
            trace.Job.ExecutionTimer?.Start(traces.Count);
        }
        BeginTurn(new Turn([.. traces.Select(trace => trace.Job)], traces, _turn, MinTimeSlice) { PromptTokens = promptTokens });
        var computed = new double[traces.Count];
        try
        {
            using (Work.BeginPass(traces))
            using (new GradModeScope(traces)) run();
            return true;
        }
        catch (Exception) when (traces.Count > 1)
        {
            RestartAsSuspects(traces); // 6
        }
        catch (Exception e)
        {
            // the forward of the model failed, most likely on a value that the program has written
            JobRun job = traces[0].Job;
            bool hasFailedBefore = job.HasFailed;
            job.Fail(
                ForwardErrorTranslator.Translate(e, "The model's forward pass",
                    "If the program replaced a value of the model, check its shape and element type."), job.LastWriteNode
                    ?? traces[0].Statement.Id);
            if (!hasFailedBefore && job.Error is { Code: not ErrorCode.JobCancelled, Retryable: false }) Find(job)?.OnFailedInModel();
        }
        finally
        {
            for (int i = 0; i < traces.Count; i++)
            {
                JobRun job = traces[i].Job;
                job.ExecutionTimer?.Stop();
                computed[i] = Math.Max(0, job.TokenCount - tokens[i]); // fewer after a restart
                _shares.Charge(job.Owner, job.Weight, traces[i].RequiresGrad ? GradientPasses * computed[i] : computed[i]);
            }
            EndTurn([.. traces.Select(trace => trace.Job)], computed);
        }
        return false;
    }
}
