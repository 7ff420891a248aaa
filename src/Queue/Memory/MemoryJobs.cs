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
    private readonly Dictionary<string, MemoryOwner> owners = [];
    private long number;
    private long token;

    public IEnumerable<MemoryJob> All => jobs.Values.Where(job => !IsOld(job));

    public IEnumerable<KeyValuePair<string, MemoryModel>> Models => models;

    public MemoryAccounts Accounts { get; } = new();

    public long Completed { get; private set; }

    public long Failed { get; private set; }

    /// <summary>Why this submission may not be queued now; null if it may.</summary>
    public Exception? Refusal(JobSubmission submission)
    {
        if (submission.Quota is not { } quota) return null;
        DateTimeOffset now = time.GetUtcNow();
        MemoryOwner owner = OwnerOf(submission.Owner);
        MemoryModel? model = models.GetValueOrDefault(submission.Model);
        int recent = owner.Recent(now);
        return QuotaRules.Check(quota, new QuotaRules.Standing(
            owner.Active, recent, owner.Waiting, models.Values.Sum(m => m.Line.Count),
            recent >= quota.PerMinute ? owner.UntilFewerThan(quota.PerMinute, now) : TimeSpan.Zero, model?.MeanSeconds ?? 0, model?.Running ?? 0));
    }

    public MemoryJob Add(JobSubmission submission, string? traceParent)
    {
        OwnerOf(submission.Owner).Accepted(time.GetUtcNow());
        var job = new MemoryJob(submission, ++number, time.GetUtcNow(), traceParent);
        jobs[submission.JobId] = job;
        ModelOf(job).Line.Enter(job.Ticket);
        Append(job, new StateChanged { State = JobState.Received });
        Enqueued(job);
        return job;
    }

    public void ForgetOld()
    {
        foreach (MemoryJob old in jobs.Values.Where(IsOld).ToArray()) Forget(old);
        DateTimeOffset now = time.GetUtcNow();
        foreach (string idle in owners.Where(owner => owner.Value.Active == 0 && owner.Value.Recent(now) == 0).Select(owner => owner.Key).ToArray())
            owners.Remove(idle);
        Accounts.Forget(now);
    }

    /// <summary>Its watchers look, and find it gone.</summary>
    public void Forget(MemoryJob job)
    {
        jobs.Remove(job.Submission.JobId);
        bells.Ring(NewsOf(job.Submission.JobId));
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
        if (job.Attempt == 0) OwnerOf(job.Submission.Owner).Waiting--;
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
            ResultBytes = submission.ResultBytes,
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
            }, Charge.Nothing);
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
        Tell(job, ModelOf(job).Line.PositionOf(job.Ticket));
        bells.Ring(WorkFor(job.Submission.Model));
    }

    /// <summary>Tells a waiting job's position again, if that is news; true if it was.</summary>
    public bool TellPosition(MemoryJob job, TimeSpan notWithin)
    {
        int position = ModelOf(job).Line.PositionOf(job.Ticket);
        if (time.GetUtcNow() - job.Told.At < notWithin || !JobRules.IsNews(position, job.Told.Position)) return false;
        Tell(job, position);
        return true;
    }

    private void Tell(MemoryJob job, int position)
    {
        job.Told = (position, time.GetUtcNow());
        Append(job, new StateChanged
        {
            State = JobState.Queued, Position = (uint)position, WaitSeconds = ModelOf(job).WaitSeconds(position), Attempt = (uint)job.Attempt,
        });
    }

    public void Release(MemoryJob job, bool lost)
    {
        if (lost) _ = job.Held!.Lost.CancelAsync(); // its callbacks must not run under the lock
        job.Held = null;
        ModelOf(job).Running--;
    }

    /// <summary>The job's one end: also the one place where its owner's account is charged.</summary>
    public void End(MemoryJob job, StateChanged outcome, Charge charge)
    {
        job.Ended = time.GetUtcNow();
        MemoryOwner owner = OwnerOf(job.Submission.Owner);
        owner.Active--;
        if (job.Attempt == 0) owner.Waiting--;
        Accounts.Add(job.Ended.Value, job.Submission.Owner, job.Submission.Model, outcome.State, charge);
        Telemetry.Charged(job.Submission.Model, charge);
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

    private MemoryOwner OwnerOf(string name) => owners.TryGetValue(name, out MemoryOwner? owner) ? owner : owners[name] = new MemoryOwner();

    public static string WorkFor(string model) => $"work {model}";

    public static string NewsOf(string jobId) => $"news {jobId}";

    public static string ReplyTo(string jobId, ulong ticket) => $"reply {jobId} {ticket}";
}
