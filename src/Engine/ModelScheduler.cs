using Ndif.Engine.Batching;
using Ndif.Engine.Gradients;
using Ndif.Engine.HookedModels;
using Ndif.Engine.Interleaving;
using Ndif.Engine.Running;
using TorchSharp;

namespace Ndif.Engine;

/// <summary>
/// Runs the programs of jobs on one model, a pass at a time, on the calling thread. Jobs can be added between any two passes.
/// 1. Every session runs until it stands at a trace or has ended.
/// 2. The next pass is chosen in turn: the prompts of the traces that wait, a step of each batch that generates, or a trace that has to
///    have its pass to itself. So no trace waits longer than for one of each.
/// 3. Traces whose prompts have run join the batch that generates.
/// 4. Sessions go on after their traces as soon as these have ended.
/// 5. If a pass that several jobs share fails in the model, each of its jobs runs again alone, so that the job at fault is found.
/// </summary>
internal sealed class ModelScheduler(HookedModel model) : IDisposable
{
    private readonly List<ScheduledJob> _jobs = [];
    private readonly List<ITraceBatch> _batches = [];
    private readonly Queue<TraceRun> _exclusive = new();
    private List<TraceRun> _waiting = [];

    /// <summary>The number of jobs that have not ended.</summary>
    public int JobCount => _jobs.Count;

    /// <summary>Adds a job.</summary>
    /// <param name="onEnded">
    /// Called on the thread of <see cref="Step"/> when the job has ended. A failure is reported by the job (<see cref="JobRun.Error"/>).
    /// </param>
    public void Add(JobRun job, Action? onEnded = null) => _jobs.Add(new ScheduledJob(job, onEnded));

    /// <summary>Lets the sessions go on, and runs each kind of pass once for which a trace waits.</summary>
    public void Step()
    {
        using var noGraph = torch.no_grad();
        using var scope = torch.NewDisposeScope();
        RunSessions(); // 1
        if (_waiting.Count > 0)
        {
            List<TraceRun> traces = _waiting;
            _waiting = [];
            TryRun(traces, () => Join(model.Start(traces))); // 3
        }
        foreach (ITraceBatch batch in _batches.ToList())
        {
            if (TryRun([.. batch.Traces], batch.Step) && !batch.HasEnded) continue;
            _batches.Remove(batch);
            batch.Dispose();
        }
        if (_exclusive.TryDequeue(out TraceRun? exclusive)) TryRun([exclusive], () => Join(model.Start([exclusive])));
    }

    public void Dispose()
    {
        foreach (ITraceBatch batch in _batches) batch.Dispose();
        _batches.Clear();
    }

    /// <summary>Adds the traces that generate to a batch that has room for them, or as a batch of their own.</summary>
    private void Join(ITraceBatch? batch)
    {
        if (batch is null) return;
        bool hasJoined = batch.Traces.All(CanShare) && _batches.Any(running => running.Traces.All(CanShare) && running.TryAppend(batch));
        if (!hasJoined) _batches.Add(batch);
    }

    /// <summary>Runs every session until it waits for a pass or has ended.</summary>
    private void RunSessions()
    {
        foreach (ScheduledJob job in _jobs.ToList())
        {
            if (job.Trace is { } trace)
            {
                if (!trace.HasEnded && !job.Run.HasFailed) continue;
                trace.Dispose();
                job.Trace = null;
                if (!job.Run.HasFailed) job.Session.CompleteTrace();
            }
            if (!job.Run.CheckCancelled() && !job.Session.IsDone)
                using (torch.set_grad_enabled(job.Run.Plan.Autograd.IsUsed)) job.Session.Run();
            if (job.Session.WaitReason is WaitReason.ForwardPass && !job.Run.HasFailed) Enqueue(job);
            else End(job);
        }
    }

    private void Enqueue(ScheduledJob job)
    {
        job.Trace = new TraceRun(job.Run, job.Session.AwaitedTrace!);
        if (CanShare(job.Trace)) _waiting.Add(job.Trace);
        else _exclusive.Enqueue(job.Trace);
    }

    /// <summary>Whether a trace can be in one pass with those of other jobs.</summary>
    private bool CanShare(TraceRun trace) => model.CanBatch && !trace.RequiresGrad && !trace.Job.Plan.IsExclusive
        && !_jobs.Any(job => job.Trace == trace && job.IsAlone);

    private void End(ScheduledJob job)
    {
        _jobs.Remove(job);
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
        foreach (TraceRun trace in traces) trace.Job.LastWriteNode = null;
        try
        {
            using (new GradModeScope(traces)) run();
            return true;
        }
        catch (Exception) when (traces.Count > 1)
        {
            foreach (ScheduledJob job in _jobs) // 5
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
            RunSessions(); // 4
        }
        return false;
    }

    /// <summary>A job with its session.</summary>
    private sealed class ScheduledJob(JobRun run, Action? onEnded)
    {
        public JobRun Run => run;

        public Action? OnEnded => onEnded;

        public Interpreter Session { get; private set; } = new(run, 0, null);

        /// <summary>The trace at which the session stands, or null.</summary>
        public TraceRun? Trace { get; set; }

        /// <summary>Whether its traces share no pass with those of other jobs.</summary>
        public bool IsAlone { get; private set; }

        /// <summary>Starts the job again from its beginning, without company.</summary>
        public void RestartAlone()
        {
            Trace?.Dispose();
            run.Restart();
            (Session, Trace, IsAlone) = (new Interpreter(run, 0, null), null, true);
        }
    }
}
