using System.Runtime.CompilerServices;
using Google.Protobuf.WellKnownTypes;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Ndif.Protocol;

namespace Ndif.Queue;

/// <summary>
/// The queue of a service that is one process: the same rules as on Redis (see RedisJobQueue.cs for their story), under one lock.
/// It lives as long as the process.
/// </summary>
public sealed class InMemoryJobQueue : IJobQueue
{
    private readonly QueueOptions options;
    private readonly TimeProvider time;
    private readonly ILogger logger;
    private readonly Lock gate = new();
    private readonly Bells bells = new();
    private readonly Dictionary<string, MemoryJob> jobs = [];
    private readonly Dictionary<string, MemoryModel> models = [];
    private long number;
    private long token;
    private long completed;
    private long failed;
    private bool closed;

    public InMemoryJobQueue(QueueOptions? options = null, TimeProvider? time = null, ILogger<InMemoryJobQueue>? logger = null)
    {
        this.options = (options ?? new QueueOptions()).Validate();
        this.time = time ?? TimeProvider.System;
        this.logger = logger ?? NullLogger<InMemoryJobQueue>.Instance;
    }

    /// <inheritdoc/>
    public Task<JobInfo> SubmitAsync(JobSubmission submission, CancellationToken cancellationToken = default)
    {
        cancellationToken.ThrowIfCancellationRequested();
        JobRules.Check(submission);
        lock (gate)
        {
            ObjectDisposedException.ThrowIf(closed, this);
            if (Find(submission.JobId) is { } known)
            {
                return known.Submission.Owner == submission.Owner
                    ? Task.FromResult(InfoOf(known))
                    : Task.FromException<JobInfo>(QueueErrors.OtherOwner(submission.JobId));
            }
            var job = new MemoryJob(submission, ++number, time.GetUtcNow());
            jobs.Add(submission.JobId, job);
            ModelOf(job).Line.Enter(job.Ticket);
            Append(job, new StateChanged { State = JobState.Received });
            Enqueued(job);
            JobInfo info = InfoOf(job);
            Telemetry.JobSubmitted(submission.Model);
            Log.JobQueued(logger, submission.JobId, submission.Model, info.Position);
            return Task.FromResult(info);
        }
    }

    /// <inheritdoc/>
    public async Task<Lease?> LeaseAsync(string worker, IReadOnlyCollection<string> models, TimeSpan wait, CancellationToken cancellationToken = default)
    {
        using Bell bell = bells.Listen([.. models.Select(WorkFor)]);
        return await LeaseLoop.WaitAsync(bell, () => Task.FromResult(Take(worker, models)), ReapAsync, wait, options.SafetyPoll, time, cancellationToken);
    }

    /// <inheritdoc/>
    public Task<bool> RenewAsync(Lease lease, CancellationToken cancellationToken = default)
    {
        cancellationToken.ThrowIfCancellationRequested();
        lock (gate)
        {
            if (HeldBy(lease) is not { Held: { } held }) return Task.FromResult(false);
            held.Deadline = time.GetUtcNow() + options.LeaseDuration;
            return Task.FromResult(true);
        }
    }

    /// <inheritdoc/>
    public Task<bool> PublishAsync(Lease lease, Event happening, CancellationToken cancellationToken = default)
    {
        cancellationToken.ThrowIfCancellationRequested();
        Event stamped = JobRules.Stamp(lease, happening);
        lock (gate)
        {
            if (HeldBy(lease) is not { } job)
            {
                Telemetry.EventFenced(lease.Model);
                Log.EventFenced(logger, lease.JobId, lease.Worker, lease.Token);
                return Task.FromResult(false);
            }
            if (stamped.State is { } state && JobRules.IsEnd(state.State))
            {
                Release(job, lost: false);
                if (state.State == JobState.Completed) ModelOf(job).Completed(time.GetUtcNow() - job.Started!.Value);
                End(job, state);
            }
            else
            {
                Append(job, stamped);
            }
            return Task.FromResult(true);
        }
    }

    /// <inheritdoc/>
    public Task ReturnAsync(Lease lease, CancellationToken cancellationToken = default)
    {
        cancellationToken.ThrowIfCancellationRequested();
        lock (gate)
        {
            if (HeldBy(lease) is not { } job) return Task.CompletedTask;
            Release(job, lost: false);
            ToFront(job);
            Log.JobReturned(logger, lease.JobId, lease.Worker);
            return Task.CompletedTask;
        }
    }

    /// <inheritdoc/>
    public Task<JobInfo?> CancelAsync(string jobId, string reason, CancellationToken cancellationToken = default)
    {
        cancellationToken.ThrowIfCancellationRequested();
        lock (gate)
        {
            if (Find(jobId) is not { } job) return Task.FromResult<JobInfo?>(null);
            if (!JobRules.IsEnd(job.State))
            {
                if (job.Held is not null) Release(job, lost: true);
                else ModelOf(job).Line.Withdraw(job.Ticket);
                End(job, new StateChanged { State = JobState.Cancelled, Error = QueueErrors.Cancelled(reason), Attempt = (uint)job.Attempt });
            }
            return Task.FromResult<JobInfo?>(InfoOf(job));
        }
    }

    /// <inheritdoc/>
    public Task<JobInfo?> GetAsync(string jobId, CancellationToken cancellationToken = default)
    {
        lock (gate) return Task.FromResult(Find(jobId) is { } job ? InfoOf(job) : null);
    }

    /// <inheritdoc/>
    public Task<IReadOnlyList<JobInfo>> ListAsync(string owner, int limit, bool activeOnly, CancellationToken cancellationToken = default)
    {
        lock (gate)
        {
            return Task.FromResult<IReadOnlyList<JobInfo>>([.. jobs.Values
                .Where(job => job.Submission.Owner == owner && !IsOld(job) && !(activeOnly && JobRules.IsEnd(job.State)))
                .OrderByDescending(job => job.Ticket.Number).Take(limit).Select(InfoOf)]);
        }
    }

    /// <inheritdoc/>
    public Task<string?> OwnerAsync(string jobId, CancellationToken cancellationToken = default)
    {
        lock (gate) return Task.FromResult(Find(jobId)?.Submission.Owner);
    }

    /// <inheritdoc/>
    public async IAsyncEnumerable<Event> WatchAsync(
        string jobId, ulong fromSequence, [EnumeratorCancellation] CancellationToken cancellationToken = default)
    {
        using Bell bell = bells.Listen(NewsOf(jobId));
        MemoryJob job;
        lock (gate) job = Find(jobId) ?? throw QueueErrors.UnknownJob(jobId);
        int next = (int)Math.Min(Math.Max(fromSequence, 1), int.MaxValue) - 1;
        while (true)
        {
            Event[] news;
            bool over;
            lock (gate)
            {
                ObjectDisposedException.ThrowIf(closed, this);
                news = [.. job.Events.Skip(next)];
                over = JobRules.IsEnd(job.State);
            }
            foreach (Event happening in news)
            {
                cancellationToken.ThrowIfCancellationRequested();
                yield return happening.Clone();
            }
            if (over) yield break;
            next += news.Length;
            await bell.WaitAsync(Timeout.InfiniteTimeSpan, time, cancellationToken);
        }
    }

    /// <inheritdoc/>
    public Task<QueueCounts> CountAsync(CancellationToken cancellationToken = default)
    {
        lock (gate)
        {
            Dictionary<string, (int Waiting, int Running)> byModel = models
                .Where(m => m.Value.Line.Count + m.Value.Running > 0)
                .ToDictionary(m => m.Key, m => (m.Value.Line.Count, m.Value.Running));
            return Task.FromResult(new QueueCounts(
                byModel.Values.Sum(m => m.Waiting), byModel.Values.Sum(m => m.Running), completed, failed, byModel));
        }
    }

    /// <inheritdoc/>
    public Task<int> ReapAsync(CancellationToken cancellationToken = default)
    {
        lock (gate)
        {
            foreach (MemoryJob old in jobs.Values.Where(IsOld).ToArray()) jobs.Remove(old.Submission.JobId);
            MemoryJob[] expired = [.. jobs.Values.Where(job => job.Held?.Deadline <= time.GetUtcNow())
                .OrderBy(job => job.Held!.Deadline).ThenBy(job => job.Submission.JobId, StringComparer.Ordinal)];
            foreach (MemoryJob job in expired) Expire(job);
            return Task.FromResult(expired.Length);
        }
    }

    /// <inheritdoc/>
    public Task<IReadOnlyList<DeadLetter>> DeadLettersAsync(int limit, CancellationToken cancellationToken = default)
    {
        lock (gate)
        {
            return Task.FromResult<IReadOnlyList<DeadLetter>>([.. jobs.Values
                .Where(job => job.Dead && !IsOld(job)).OrderByDescending(job => job.Ended).Take(limit).Select(job => new DeadLetter
                {
                    JobId = job.Submission.JobId,
                    Reason = job.Error!.Message,
                    Attempts = (uint)job.Deaths,
                    Time = job.Ended!.Value.ToTimestamp(),
                    Model = job.Submission.Model,
                })]);
        }
    }

    /// <inheritdoc/>
    public async Task<JobInfo?> RequeueAsync(string deadJobId, string newJobId, CancellationToken cancellationToken = default)
    {
        MemoryJob? dead;
        lock (gate) dead = Find(deadJobId) is { Dead: true } job ? job : null;
        if (dead is null) return null;
        JobInfo info = await SubmitAsync(dead.Submission with { JobId = newJobId }, cancellationToken);
        lock (gate) dead.Dead = false;
        Log.Requeued(logger, deadJobId, newJobId);
        return info;
    }

    /// <inheritdoc/>
    public Task ReplyAsync(string jobId, LocalReply reply, CancellationToken cancellationToken = default)
    {
        lock (gate)
        {
            if (Find(jobId) is not { } job) throw QueueErrors.UnknownJob(jobId);
            if (!JobRules.IsEnd(job.State)) job.Replies.TryAdd(reply.Ticket, reply.Clone());
        }
        bells.Ring(ReplyTo(jobId, reply.Ticket));
        return Task.CompletedTask;
    }

    /// <inheritdoc/>
    public async Task<LocalReply?> AwaitReplyAsync(Lease lease, ulong ticket, TimeSpan timeout, CancellationToken cancellationToken = default)
    {
        using Bell bell = bells.Listen(ReplyTo(lease.JobId, ticket));
        using CancellationTokenRegistration lost = lease.Lost.Register(bell.Ring);
        long began = time.GetTimestamp();
        while (true)
        {
            lock (gate)
            {
                if (HeldBy(lease) is not { } job) return null;
                if (job.Replies.Remove(ticket, out LocalReply? reply)) return reply;
            }
            TimeSpan left = timeout - time.GetElapsedTime(began);
            if (left <= TimeSpan.Zero) return null;
            await bell.WaitAsync(left, time, cancellationToken);
        }
    }

    public ValueTask DisposeAsync()
    {
        lock (gate) closed = true;
        bells.RingAll();
        return ValueTask.CompletedTask;
    }

    // ---- below here: under the lock ----

    private Lease? Take(string worker, IReadOnlyCollection<string> wanted)
    {
        lock (gate)
        {
            ObjectDisposedException.ThrowIf(closed, this);
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
            };
            Telemetry.JobLeased(lease, now);
            Log.JobLeased(logger, lease.JobId, worker, lease.Attempt, token);
            return lease;
        }
    }

    private void Expire(MemoryJob job)
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

    private void ToFront(MemoryJob job)
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

    private void Release(MemoryJob job, bool lost)
    {
        if (lost) _ = job.Held!.Lost.CancelAsync(); // its callbacks must not run under the lock
        job.Held = null;
        ModelOf(job).Running--;
    }

    private void End(MemoryJob job, StateChanged outcome)
    {
        job.Ended = time.GetUtcNow();
        job.Error = outcome.Error;
        job.Usage = outcome.Usage;
        job.Replies.Clear();
        if (!job.Dead) job.DropProgram();
        if (outcome.State == JobState.Completed) completed++;
        if (outcome.State == JobState.Failed) failed++;
        Append(job, outcome);
        ModelOf(job).ForgetIfIdle();
        Log.JobEnded(logger, job.Submission.JobId, outcome.State);
    }

    private void Append(MemoryJob job, StateChanged state) => Append(job, new Event { State = state });

    private void Append(MemoryJob job, Event happening)
    {
        if (happening.State is { } state) job.State = state.State;
        happening.Sequence = (ulong)job.Events.Count + 1;
        happening.Time = time.GetUtcNow().ToTimestamp();
        job.Events.Add(happening);
        bells.Ring(NewsOf(job.Submission.JobId));
    }

    private JobInfo InfoOf(MemoryJob job)
    {
        MemoryModel model = ModelOf(job);
        int position = job.Held is null && !JobRules.IsEnd(job.State) ? model.Line.PositionOf(job.Ticket) : 0;
        return job.Info(position, model.WaitSeconds(position));
    }

    private MemoryJob? HeldBy(Lease lease) => Find(lease.JobId) is { Held: { } held } job && held.Token == lease.Token ? job : null;

    private MemoryJob? Find(string jobId) => jobs.GetValueOrDefault(jobId) is { } job && !IsOld(job) ? job : null;

    private bool IsOld(MemoryJob job) => job.Ended + options.Retention <= time.GetUtcNow();

    private MemoryModel ModelOf(MemoryJob job) =>
        models.TryGetValue(job.Submission.Model, out MemoryModel? model) ? model : models[job.Submission.Model] = new MemoryModel();

    private static string WorkFor(string model) => $"work {model}";

    private static string NewsOf(string jobId) => $"news {jobId}";

    private static string ReplyTo(string jobId, ulong ticket) => $"reply {jobId} {ticket}";
}
