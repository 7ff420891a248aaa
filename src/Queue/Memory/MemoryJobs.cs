using Google.Protobuf.WellKnownTypes;
using Microsoft.Extensions.Logging;
using Ndif.Protocol;

namespace Ndif.Queue;

/// <summary>
/// The jobs and lines of the in-memory queue, and how a job goes from one state to the next: what the scripts are on Redis.
/// Touched only under the queue's lock.
/// </summary>
internal sealed class MemoryJobs(QueueOptions options, TimeProvider time, Bells bells, ILogger logger)
{
    private readonly Dictionary<string, MemoryJob> jobs = [];
    private readonly Dictionary<string, MemoryModel> models = [];
    private long number;
    private long token;

    public IEnumerable<MemoryJob> All => jobs.Values.Where(job => !IsOld(job));

    public IEnumerable<KeyValuePair<string, MemoryModel>> Models => models;

    public long Completed { get; private set; }

    public long Failed { get; private set; }

    public MemoryJob Add(JobSubmission submission, string? traceParent)
    {
        var job = new MemoryJob(submission, ++number, time.GetUtcNow(), traceParent);
        jobs[submission.JobId] = job;
        ModelOf(job).Line.Enter(job.Ticket);
        Append(job, new StateChanged { State = JobState.Received });
        Enqueued(job);
        return job;
    }

    public void ForgetOld()
    {
        foreach (MemoryJob old in jobs.Values.Where(IsOld).ToArray()) jobs.Remove(old.Submission.JobId);
    }

    public Lease? Take(string worker, IReadOnlyCollection<string> wanted)
    {
        // Lines of different models have nothing to compare but the age of their first.
        Ticket? first = wanted.Distinct().Select(name => models.GetValueOrDefault(name)?.Line.First).OfType<Ticket>().MinBy(t => t.Number);
        if (first is null) return null;
        MemoryJob job = jobs[first.JobId];
        MemoryModel model = ModelOf(job);
        model.Line.Take(first);
        model.Running++;
        DateTimeOffset now = time.GetUtcNow();
        job.Held = new HeldLease(++token, now + options.LeaseDuration, new CancellationTokenSource());
        job.Attempt++;
        job.Worker = worker;
        job.Started = now;
        JobSubmission submission = job.Submission;
        var lease = new Lease(
            submission.JobId, submission.Model, submission.Owner, submission.Program, worker, token, job.Attempt, job.Submitted, submission.TimeLimit)
        {
            Lost = job.Held.Lost.Token,
            TraceParent = job.TraceParent,
            Waited = now - job.Submitted,
        };
        Telemetry.JobLeased(lease, now);
        Log.JobLeased(logger, lease.JobId, worker, lease.Attempt, token);
        return lease;
    }

    public void Expire(MemoryJob job)
    {
        job.Deaths++;
        job.Dead = job.Deaths >= options.MaxAttempts;
        Release(job, lost: true);
        Telemetry.LeaseExpired(job.Submission.Model, job.Dead);
        if (job.Dead)
        {
            Log.DeadLetter(logger, job.Submission.JobId, job.Worker, job.Deaths);
            End(job, new StateChanged
            {
                State = JobState.Failed,
                Error = QueueErrors.WorkerLost(job.Deaths, job.Worker),
                Attempt = (uint)job.Attempt,
                Worker = job.Worker,
            });
        }
        else
        {
            Log.LeaseExpired(logger, job.Submission.JobId, job.Worker, job.Deaths);
            ToFront(job);
        }
    }

    public void ToFront(MemoryJob job)
    {
        job.Worker = "";
        job.Replies.Clear(); // the next attempt asks again
        ModelOf(job).Line.EnterFront(job.Ticket);
        Enqueued(job);
    }

    private void Enqueued(MemoryJob job)
    {
        MemoryModel model = ModelOf(job);
        int position = model.Line.PositionOf(job.Ticket);
        Append(job, new StateChanged
        {
            State = JobState.Queued, Position = (uint)position, WaitSeconds = model.WaitSeconds(position), Attempt = (uint)job.Attempt,
        });
        bells.Ring(WorkFor(job.Submission.Model));
    }

    public void Release(MemoryJob job, bool lost)
    {
        if (lost) _ = job.Held!.Lost.CancelAsync(); // its callbacks must not run under the lock
        job.Held = null;
        ModelOf(job).Running--;
    }

    public void End(MemoryJob job, StateChanged outcome)
    {
        job.Ended = time.GetUtcNow();
        job.Error = outcome.Error;
        job.Usage = outcome.Usage;
        job.Replies.Clear();
        if (!job.Dead) job.DropProgram();
        if (outcome.State == JobState.Completed) Completed++;
        if (outcome.State == JobState.Failed) Failed++;
        Append(job, outcome);
        ModelOf(job).ForgetIfIdle();
        Log.JobEnded(logger, job.Submission.JobId, outcome.State);
    }

    private void Append(MemoryJob job, StateChanged state) => Append(job, new Event { State = state });

    public void Append(MemoryJob job, Event happening)
    {
        if (happening.State is { } state) job.State = state.State;
        happening.Sequence = (ulong)job.Events.Count + 1;
        happening.Time = time.GetUtcNow().ToTimestamp();
        job.Events.Add(happening);
        bells.Ring(NewsOf(job.Submission.JobId));
    }

    public JobInfo InfoOf(MemoryJob job)
    {
        MemoryModel model = ModelOf(job);
        int position = job.Held is null && !JobRules.IsEnd(job.State) ? model.Line.PositionOf(job.Ticket) : 0;
        return job.Info(position, model.WaitSeconds(position));
    }

    public MemoryJob? HeldBy(Lease lease) => Find(lease.JobId) is { Held: { } held } job && held.Token == lease.Token ? job : null;

    public MemoryJob? Find(string jobId) => jobs.GetValueOrDefault(jobId) is { } job && !IsOld(job) ? job : null;

    public bool IsOld(MemoryJob job) => job.Ended + options.Retention <= time.GetUtcNow();

    public MemoryModel ModelOf(MemoryJob job) =>
        models.TryGetValue(job.Submission.Model, out MemoryModel? model) ? model : models[job.Submission.Model] = new MemoryModel();

    public static string WorkFor(string model) => $"work {model}";

    public static string NewsOf(string jobId) => $"news {jobId}";

    public static string ReplyTo(string jobId, ulong ticket) => $"reply {jobId} {ticket}";
}
