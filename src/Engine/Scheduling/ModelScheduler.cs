using System.Diagnostics;
using Ndif.Engine.Batching;
using Ndif.Engine.Gradients;
using Ndif.Engine.HookedModels;
using Ndif.Engine.Interleaving;
using Ndif.Engine.Reuse;
using Ndif.Engine.Running;
using Ndif.Models;
using Ndif.Protocol;
using TorchSharp;

namespace Ndif.Engine.Scheduling;

/// <summary>
/// Runs the programs of jobs on one model, a pass at a time, on the calling thread. Jobs can be added between any two passes.
/// 1. Every session runs until it stands at a trace or has ended.
/// 2. The next pass is chosen in turn: the prompts of the traces that wait, a step of each batch that generates, or a trace that has to
///    have its pass to itself. So no trace waits longer than for one of each. Where not all traces fit in a pass or in the memory of the
///    cache, those of the owner go first who has had the least service for its weight (<see cref="OwnerShares"/>).
/// 3. Traces whose prompts have run join the batch that generates.
/// 4. Sessions go on after their traces as soon as these have ended.
/// 5. A long pass is preempted between two of its modules, so that the others generate and shorter prompts run.
///    A job that waits for the answer of its client lets them go on in the same way.
/// 6. If a pass that several jobs share fails in the model, each of its jobs runs again alone, so that the job at fault is found.
/// </summary>
/// <param name="maxCacheBytes">The memory for keys and values of all jobs. A trace waits until its own fit.</param>
/// <param name="onPreemptionPoint">Called between passes and in long ones; it may add jobs.</param>
/// <param name="prefixes">The tokens of earlier passes; by default, those of this scheduler's jobs.</param>
internal sealed class ModelScheduler(HookedModel model, long maxCacheBytes = long.MaxValue, Action? onPreemptionPoint = null,
    PrefixCache? prefixes = null) : IDisposable
{
    /// <summary>The memory of the tokens of earlier passes of this scheduler's jobs, in bytes.</summary>
    private const long PrefixBytes = 256L << 20;

    /// <summary>The tokens of the prompts that share a pass, padding included. A longer prompt has a pass to itself.</summary>
    private const int MaxPrefillTokens = 512;

    private readonly List<ScheduledJob> _jobs = [];
    private readonly List<ITraceBatch> _batches = [];
    private readonly List<ScheduledJob> _waiting = [], _exclusive = [];
    private readonly HashSet<JobRun> _suspended = []; // they wait for their clients
    private readonly OwnerShares _shares = new();
    private readonly PrefixCache _prefixes = prefixes ?? new PrefixCache(PrefixBytes);
    private LongPass? _longPass;
    private bool _isPreempted;

    /// <summary>
    /// A pass runs for at least this time before it is preempted, and for as long as the passes in between have taken. Default 10 ms.
    /// </summary>
    public TimeSpan MinTimeSlice { get; init; } = TimeSpan.FromMilliseconds(10);

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
        (job.RunOthers, job.Work) = (() => RunOthers(job), Work);
        _shares.AddJob(job.Owner);
        _jobs.Add(new ScheduledJob(job, onEnded));
    }

    /// <summary>Lets the sessions go on, and runs each kind of pass once for which a trace waits.</summary>
    public void Step()
    {
        using var noGraph = torch.no_grad();
        using var scope = torch.NewDisposeScope();
        RunSessions(); // 1
        RunPrefill();
        RunBatches();
        if (TakeNext(_exclusive) is { } exclusive) Start([exclusive]);
    }

    public void Dispose()
    {
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
        Dictionary<string, double> service = candidates.Select(job => job.Run.Owner).Distinct().ToDictionary(o => o, _shares.ServiceOf);
        long cacheBytes = _jobs.Where(job => job.HasStarted).Sum(CacheBytes);
        while (candidates.MinBy(job => service[job.Run.Owner]) is { } next)
        {
            candidates.Remove(next);
            long bytes = CacheBytes(next);
            if (bytes > 0 && cacheBytes + bytes > maxCacheBytes)
            {
                // a trace that needs more memory than is left is not overtaken by those that need less
                candidates.RemoveAll(job => CacheBytes(job) > 0);
                continue;
            }
            if (pass.Count > 0 && TokenCount([.. pass, next]) > MaxPrefillTokens) continue;
            pass.Add(next);
            cacheBytes += bytes;
            service[next.Run.Owner] += TokenCount([next]) / next.Run.Weight;
        }
        if (pass.Count == 0) return;
        _waiting.RemoveAll(pass.Contains);
        Start(pass);
    }

    /// <summary>The tokens of a pass over the prompts of these traces.</summary>
    private static long TokenCount(IReadOnlyList<ScheduledJob> jobs) =>
        jobs.Sum(job => (long)job.Prepared!.RowCount) * jobs.Max(job => job.Prepared!.SequenceLength);

    private long CacheBytes(ScheduledJob job) =>
        maxCacheBytes < long.MaxValue && job.Prepared is { CacheCapacity: > 0 and var tokens } ? tokens * model.CacheBytesPerToken : 0;

    /// <summary>Runs a step of each batch that generates.</summary>
    private void RunBatches()
    {
        foreach (ITraceBatch batch in _batches.ToList())
        {
            // a nested call may have ended it, or it stands in the middle of a step
            if (!_batches.Contains(batch) || batch.Traces.Any(trace => _suspended.Contains(trace.Job))) continue;
            if (!TryRun([.. batch.Traces], batch.Step) || batch.HasEnded)
            {
                _batches.Remove(batch);
                batch.Dispose();
            }
            RunSessions(); // 4
        }
    }

    /// <summary>Removes the trace of the owner who has had the least service.</summary>
    private ScheduledJob? TakeNext(List<ScheduledJob> waiting)
    {
        waiting.RemoveAll(job => job.Run.CheckCancelled());
        ScheduledJob? next = waiting.MinBy(job => _shares.ServiceOf(job.Run.Owner));
        if (next is not null) waiting.Remove(next);
        return next;
    }

    /// <summary>Runs the pass over the prompts of traces. Those that generate join a batch that can take them, or are a new one.</summary>
    private void Start(List<ScheduledJob> jobs)
    {
        List<IPreparedTrace> traces = [.. jobs.Select(job => job.Prepared!)];
        foreach (ScheduledJob job in jobs) job.HasStarted = true;
        // a pass that preempts another is short, and is not preempted itself
        if (!_isPreempted) _longPass = new LongPass(jobs, TokenCount(jobs), MinTimeSlice);
        TryRun([.. traces.Select(trace => trace.Trace)], () =>
        {
            if (model.Start(traces, OnPreemptionPoint, _prefixes) is { } batch) Join(batch); // 3
        });
        RunSessions(); // 4
    }

    private void Join(ITraceBatch batch)
    {
        bool hasJoined = batch.Traces.All(CanShare) && _batches.Any(running => running.Traces.All(CanShare) && running.TryAppend(batch));
        if (!hasJoined) _batches.Add(batch);
    }

    /// <summary>Between two modules of a pass: lets the others go on if the pass is long (5).</summary>
    private void OnPreemptionPoint()
    {
        if (_longPass is not { } pass || _isPreempted || pass.SinceResumed.Elapsed < pass.TimeSlice) return;
        long start = Stopwatch.GetTimestamp();
        _isPreempted = true;
        int[] sharers = [.. pass.Jobs.Select(job => job.Run.OwnTime?.Suspend() ?? 0)];
        using (Work.BeginPass([]))
        using (SiteHook.Register(null))
        using (torch.no_grad())
        using (torch.NewDisposeScope())
        {
            onPreemptionPoint?.Invoke();
            RunSessions();
            RunPrefill(pass.TokenCount / 2);
            RunBatches();
        }
        _isPreempted = false;
        for (int i = 0; i < sharers.Length; i++)
            if (sharers[i] > 0) pass.Jobs[i].Run.OwnTime!.Start(sharers[i]);
        TimeSpan others = Stopwatch.GetElapsedTime(start);
        pass.TimeSlice = others > MinTimeSlice ? others : MinTimeSlice;
        pass.SinceResumed.Restart();
    }

    /// <summary>Lets the others go on while a job waits for the answer of its client.</summary>
    private void RunOthers(JobRun waiting)
    {
        if (!_suspended.Add(waiting)) return;
        bool isNested = _isPreempted;
        _isPreempted = true;
        try
        {
            using (Work.BeginPass([]))
            using (SiteHook.Register(null))
            using (torch.no_grad())
            using (torch.NewDisposeScope())
            {
                onPreemptionPoint?.Invoke();
                RunSessions();
                RunPrefill();
                RunBatches();
            }
        }
        finally
        {
            _isPreempted = isNested;
            _suspended.Remove(waiting);
        }
    }

    /// <summary>Runs every session until it waits for a pass or has ended, except those of a suspended pass.</summary>
    private void RunSessions()
    {
        foreach (ScheduledJob job in _jobs.ToList())
        {
            // a nested call may have ended it
            if (_longPass?.Jobs.Contains(job) == true || _suspended.Contains(job.Run) || !_jobs.Contains(job)) continue;
            if (job.Trace is { HasEnded: false } && !job.Run.HasFailed) continue;
            job.Run.OwnTime?.Start(sharers: 1);
            RunSession(job);
            job.Run.OwnTime?.Stop();
        }
    }

    private void RunSession(ScheduledJob job)
    {
        if (job.Trace is not null)
        {
            job.EndTrace();
            if (!job.Run.HasFailed) job.Session.CompleteTrace();
        }
        if (!job.Run.CheckCancelled() && !job.Session.IsDone)
            using (torch.set_grad_enabled(job.Run.Plan.Autograd.IsUsed)) job.Session.Run();
        if (job.Session.WaitReason is WaitReason.ForwardPass && !job.Run.HasFailed) Enqueue(job);
        if (job.Trace is null || job.Run.HasFailed) End(job);
    }

    private void Enqueue(ScheduledJob job)
    {
        job.BeginTrace(model);
        if (job.Prepared is null) return;
        if (CacheBytes(job) > maxCacheBytes)
            job.Run.Fail(Errors.CreateException(ErrorCode.OutOfMemory,
                $"The keys and values of this generation take up to {CacheBytes(job):N0} bytes, and the model has {maxCacheBytes:N0} for "
                + "them.",
                "Generate fewer tokens or fewer rows, or split the job."), job.Trace!.Statement.Id);
        else if (CanShare(job.Trace!)) _waiting.Add(job);
        else _exclusive.Add(job);
    }

    /// <summary>Whether a trace can be in one pass with those of other jobs.</summary>
    private bool CanShare(TraceRun trace) => model.CanBatch && !trace.RequiresGrad && !trace.Job.Plan.IsExclusive
        && !_jobs.Any(job => job.Trace == trace && job.IsAlone);

    private void End(ScheduledJob job)
    {
        _jobs.Remove(job);
        _waiting.Remove(job);
        _exclusive.Remove(job);
        _shares.RemoveJob(job.Run.Owner);
        job.EndTrace();
        try
        {
            job.Run.Finish();
        }
        catch (Exception e)
        {
            job.Run.Fail(e, 0);
        }
        job.OnEnded?.Invoke();
    }

    /// <summary>Runs a pass of these traces. Returns false if it has failed in the model.</summary>
    private bool TryRun(List<TraceRun> traces, Action run)
    {
        const int GradientPasses = 3; // forward, and backward through values and weights
        long[] tokens = [.. traces.Select(trace => trace.Job.TokenCount)];
        foreach (TraceRun trace in traces)
        {
            trace.Job.LastWriteNode = null;
            trace.Job.OwnTime?.Start(traces.Count);
        }
        try
        {
            using (Work.BeginPass(traces))
            using (new GradModeScope(traces)) run();
            return true;
        }
        catch (Exception) when (traces.Count > 1)
        {
            foreach (ScheduledJob job in _jobs) // 6
                if (job.Trace is { } trace && traces.Contains(trace) && !job.Run.HasFailed) job.RestartAlone();
        }
        catch (Exception e)
        {
            // the forward of the model failed, most likely on a value that the program has written
            JobRun job = traces[0].Job;
            job.Fail(
                ForwardErrorTranslator.Translate(e, "The model's forward pass",
                    "If the program replaced a value of the model, check its shape and element type."), job.LastWriteNode
                    ?? traces[0].Statement.Id);
        }
        finally
        {
            for (int i = 0; i < traces.Count; i++)
            {
                JobRun job = traces[i].Job;
                job.OwnTime?.Stop();
                long computed = Math.Max(0, job.TokenCount - tokens[i]); // fewer after a restart
                _shares.Charge(job.Owner, job.Weight, traces[i].RequiresGrad ? GradientPasses * computed : computed);
            }
            if (!_isPreempted) _longPass = null;
        }
        return false;
    }

    /// <summary>A pass that others may preempt between two modules.</summary>
    private sealed class LongPass(IReadOnlyList<ScheduledJob> jobs, long tokenCount, TimeSpan timeSlice)
    {
        public IReadOnlyList<ScheduledJob> Jobs => jobs;

        /// <summary>The tokens of its prompts. Prompts of at most half of them may preempt it.</summary>
        public long TokenCount => tokenCount;

        public Stopwatch SinceResumed { get; } = Stopwatch.StartNew();

        public TimeSpan TimeSlice { get; set; } = timeSlice;
    }
}
