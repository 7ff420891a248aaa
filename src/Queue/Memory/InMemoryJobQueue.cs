using System.Diagnostics;
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
    private readonly LeaseLoop loop;
    private readonly MemoryJobs jobs;
    private bool closed;

    public InMemoryJobQueue(QueueOptions? options = null, TimeProvider? time = null, ILogger<InMemoryJobQueue>? logger = null)
    {
        this.options = (options ?? new QueueOptions()).Validate();
        this.time = time ?? TimeProvider.System;
        this.logger = logger ?? NullLogger<InMemoryJobQueue>.Instance;
        jobs = new MemoryJobs(this.options, this.time, bells, this.logger);
        loop = new LeaseLoop(ReapAsync, this.options.SafetyPoll, this.time);
    }

    /// <summary>Who waits for jobs and for news of them.</summary>
    internal Bells Bells => bells;

    /// <inheritdoc/>
    public Task<JobInfo> SubmitAsync(JobSubmission submission, CancellationToken cancellationToken = default)
    {
        cancellationToken.ThrowIfCancellationRequested();
        JobRules.Check(submission);
        using Activity? activity = Telemetry.Submitting(submission);
        lock (gate)
        {
            ObjectDisposedException.ThrowIf(closed, this);
            if (jobs.Find(submission.JobId) is { } known)
            {
                return known.Submission.Owner == submission.Owner
                    ? Task.FromResult(jobs.InfoOf(known))
                    : Task.FromException<JobInfo>(QueueErrors.OtherOwner(submission.JobId));
            }
            if (jobs.Refusal(submission) is { } refusal) return Task.FromException<JobInfo>(refusal);
            JobInfo info = jobs.InfoOf(jobs.Add(submission, Activity.Current?.Id));
            Telemetry.JobSubmitted(submission.Model);
            Log.JobQueued(logger, submission.JobId, submission.Model, info.Position);
            return Task.FromResult(info);
        }
    }

    /// <inheritdoc/>
    public async Task<Lease?> LeaseAsync(string worker, IReadOnlyCollection<string> models, TimeSpan wait, CancellationToken cancellationToken = default)
    {
        using Bell bell = bells.Listen([.. models.Select(MemoryJobs.WorkFor)]);
        return await loop.WaitAsync(bell, () => Task.FromResult(Take(worker, models)), wait, cancellationToken);
    }

    /// <inheritdoc/>
    public Task<bool> RenewAsync(Lease lease, CancellationToken cancellationToken = default)
    {
        cancellationToken.ThrowIfCancellationRequested();
        lock (gate)
        {
            if (jobs.HeldBy(lease) is not { Held: { } held }) return Task.FromResult(false);
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
            if (jobs.HeldBy(lease) is not { } job)
            {
                Telemetry.EventFenced(lease.Model);
                Log.EventFenced(logger, lease.JobId, lease.Worker, lease.Token);
                return Task.FromResult(false);
            }
            if (stamped.State is { } state && JobRules.IsEnd(state.State))
            {
                jobs.Release(job, lost: false);
                if (state.State == JobState.Completed) jobs.ModelOf(job).Completed(time.GetUtcNow() - job.Started!.Value);
                jobs.End(job, state, Charge.Of(state.Usage));
            }
            else
            {
                jobs.Append(job, stamped);
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
            if (jobs.HeldBy(lease) is not { } job) return Task.CompletedTask;
            jobs.Release(job, lost: false);
            jobs.ToFront(job);
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
            if (jobs.Find(jobId) is not { } job) return Task.FromResult<JobInfo?>(null);
            if (!JobRules.IsEnd(job.State))
            {
                bool ran = job.Held is not null;
                if (ran) jobs.Release(job, lost: true);
                else jobs.ModelOf(job).Line.Withdraw(job.Ticket);
                Charge charge = ran ? Charge.Nothing with { ComputeMilliseconds = (long)(time.GetUtcNow() - job.Started!.Value).TotalMilliseconds } : Charge.Nothing;
                jobs.End(job, new StateChanged { State = JobState.Cancelled, Error = QueueErrors.Cancelled(reason), Attempt = (uint)job.Attempt }, charge);
            }
            return Task.FromResult<JobInfo?>(jobs.InfoOf(job));
        }
    }

    /// <inheritdoc/>
    public Task<JobInfo?> GetAsync(string jobId, CancellationToken cancellationToken = default)
    {
        lock (gate) return Task.FromResult(jobs.Find(jobId) is { } job ? jobs.InfoOf(job) : null);
    }

    /// <inheritdoc/>
    public Task<IReadOnlyList<JobInfo>> ListAsync(string owner, int limit, bool activeOnly, CancellationToken cancellationToken = default)
    {
        lock (gate)
        {
            return Task.FromResult<IReadOnlyList<JobInfo>>([.. jobs.All
                .Where(job => job.Submission.Owner == owner && !(activeOnly && JobRules.IsEnd(job.State)))
                .OrderByDescending(job => job.Ticket.Number).Take(limit).Select(jobs.InfoOf)]);
        }
    }

    /// <inheritdoc/>
    public Task<string?> OwnerAsync(string jobId, CancellationToken cancellationToken = default)
    {
        lock (gate) return Task.FromResult(jobs.Find(jobId)?.Submission.Owner);
    }

    /// <inheritdoc/>
    public async IAsyncEnumerable<Event> WatchAsync(
        string jobId, ulong fromSequence, [EnumeratorCancellation] CancellationToken cancellationToken = default)
    {
        using Bell bell = bells.Listen(MemoryJobs.NewsOf(jobId));
        MemoryJob job;
        lock (gate) job = jobs.Find(jobId) ?? throw QueueErrors.UnknownJob(jobId);
        int next = (int)Math.Min(Math.Max(fromSequence, 1), int.MaxValue) - 1;
        while (true)
        {
            Event[] news;
            bool over;
            lock (gate)
            {
                ObjectDisposedException.ThrowIf(closed, this);
                if (jobs.Find(jobId) != job) throw QueueErrors.Forgotten(jobId);
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
    public Task<bool?> DeleteAsync(string jobId, CancellationToken cancellationToken = default)
    {
        cancellationToken.ThrowIfCancellationRequested();
        lock (gate)
        {
            if (jobs.Find(jobId) is not { } job) return Task.FromResult<bool?>(null);
            if (!JobRules.IsEnd(job.State)) return Task.FromResult<bool?>(false);
            jobs.Forget(job);
            Log.JobDeleted(logger, jobId);
            return Task.FromResult<bool?>(true);
        }
    }

    /// <inheritdoc/>
    public Task<IReadOnlyList<UsageRow>> UsageAsync(string owner, DateOnly since, DateOnly until, CancellationToken cancellationToken = default)
    {
        lock (gate) return Task.FromResult(jobs.Accounts.Of(owner, since, until));
    }

    /// <inheritdoc/>
    public Task<int> TellPositionsAsync(IReadOnlyCollection<string> jobIds, TimeSpan notWithin, CancellationToken cancellationToken = default)
    {
        cancellationToken.ThrowIfCancellationRequested();
        lock (gate) return Task.FromResult(jobIds.Count(id => jobs.Find(id) is { State: JobState.Queued, Held: null } job && jobs.TellPosition(job, notWithin)));
    }

    /// <inheritdoc/>
    public Task<QueueCounts> CountAsync(CancellationToken cancellationToken = default)
    {
        lock (gate)
        {
            Dictionary<string, (int Waiting, int Running)> byModel = jobs.Models
                .Where(m => m.Value.Line.Count + m.Value.Running > 0)
                .ToDictionary(m => m.Key, m => (m.Value.Line.Count, m.Value.Running));
            return Task.FromResult(new QueueCounts(
                byModel.Values.Sum(m => m.Waiting), byModel.Values.Sum(m => m.Running), jobs.Completed, jobs.Failed, byModel));
        }
    }

    /// <inheritdoc/>
    public Task<int> ReapAsync(CancellationToken cancellationToken = default)
    {
        lock (gate)
        {
            jobs.ForgetOld();
            MemoryJob[] expired = [.. jobs.All.Where(job => job.Held?.Deadline <= time.GetUtcNow())
                .OrderBy(job => job.Held!.Deadline).ThenBy(job => job.Submission.JobId, StringComparer.Ordinal)];
            foreach (MemoryJob job in expired) jobs.Expire(job);
            return Task.FromResult(expired.Length);
        }
    }

    /// <inheritdoc/>
    public Task<IReadOnlyList<DeadLetter>> DeadLettersAsync(int limit, CancellationToken cancellationToken = default)
    {
        lock (gate)
        {
            return Task.FromResult<IReadOnlyList<DeadLetter>>([.. jobs.All
                .Where(job => job.Dead).OrderByDescending(job => job.Ended).Take(limit).Select(job => new DeadLetter
                {
                    JobId = job.Submission.JobId,
                    Reason = job.Error!.Message,
                    Attempts = (uint)job.Attempt,
                    Time = job.Ended!.Value.ToTimestamp(),
                    Model = job.Submission.Model,
                })]);
        }
    }

    /// <inheritdoc/>
    public async Task<JobInfo?> RequeueAsync(string deadJobId, string newJobId, CancellationToken cancellationToken = default)
    {
        MemoryJob? dead;
        lock (gate) dead = jobs.Find(deadJobId) is { Dead: true } job ? job : null;
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
            if (jobs.Find(jobId) is not { } job) throw QueueErrors.UnknownJob(jobId);
            if (!JobRules.IsEnd(job.State)) job.Replies.TryAdd(reply.Ticket, reply.Clone());
        }
        bells.Ring(MemoryJobs.ReplyTo(jobId, reply.Ticket));
        return Task.CompletedTask;
    }

    /// <inheritdoc/>
    public async Task<LocalReply?> AwaitReplyAsync(Lease lease, ulong ticket, TimeSpan timeout, CancellationToken cancellationToken = default)
    {
        using Bell bell = bells.Listen(MemoryJobs.ReplyTo(lease.JobId, ticket));
        using CancellationTokenRegistration lost = lease.Lost.Register(bell.Ring);
        long began = time.GetTimestamp();
        while (true)
        {
            lock (gate)
            {
                if (jobs.HeldBy(lease) is not { } job) return null;
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

    private Lease? Take(string worker, IReadOnlyCollection<string> models)
    {
        lock (gate)
        {
            ObjectDisposedException.ThrowIf(closed, this);
            return jobs.Take(worker, models);
        }
    }
}
