using System.Diagnostics;
using System.Runtime.CompilerServices;
using Google.Protobuf.WellKnownTypes;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Ndif.Protocol;
using Ndif.Queue.Rules;
using Ndif.Queue.Wakeups;

namespace Ndif.Queue.Memory;

/// <summary>
/// The job queue of a service that runs in a single process: the rules of <see cref="Redis.RedisJobQueue"/> (described there) under one
/// lock. Its jobs are lost when the process ends.
/// </summary>
public sealed class InMemoryJobQueue : IJobQueue
{
    private readonly QueueOptions _options;
    private readonly TimeProvider _time;
    private readonly ILogger _logger;
    private readonly Lock _lock = new();
    private readonly WakeupHub _wakeups = new();
    private readonly LeaseWaitLoop _leaseLoop;
    private readonly LargeEventLimiter _largeEvents = new();
    private readonly InMemoryStorageAccounts _storage;
    private readonly InMemoryJobStore _jobs;
    private bool _isDisposed;

    public InMemoryJobQueue(QueueOptions? options = null, TimeProvider? time = null, ILogger<InMemoryJobQueue>? logger = null)
    {
        _options = (options ?? new QueueOptions()).Validate();
        _time = time ?? TimeProvider.System;
        _logger = logger ?? NullLogger<InMemoryJobQueue>.Instance;
        _storage = new InMemoryStorageAccounts(_lock, _time);
        _jobs = new InMemoryJobStore(_options, _time, _wakeups, _storage, _logger);
        _leaseLoop = new LeaseWaitLoop(ReapExpiredLeasesAsync, _options.PollInterval, _time);
    }

    /// <inheritdoc/>
    public IStorageAccounts Storage => _storage;

    /// <summary>The stored bytes, to which published edits add.</summary>
    internal InMemoryStorageAccounts Accounts => _storage;

    /// <summary>The wake-ups for new jobs and job events.</summary>
    internal WakeupHub Wakeups => _wakeups;

    /// <inheritdoc/>
    public Task<JobInfo> SubmitAsync(JobSubmission submission, CancellationToken cancellationToken = default)
    {
        cancellationToken.ThrowIfCancellationRequested();
        JobRules.Validate(submission);
        using Activity? activity = Telemetry.StartSubmitActivity(submission);
        lock (_lock)
        {
            ObjectDisposedException.ThrowIf(_isDisposed, this);
            if (_jobs.Find(submission.JobId) is { } known)
            {
                return known.Submission.Owner != submission.Owner ? Task.FromException<JobInfo>(QueueErrors.JobIdTaken(submission.JobId))
                    : known.ProgramHash != JobRules.HashProgram(submission.Program)
                    ? Task.FromException<JobInfo>(QueueErrors.JobIdReused(submission.JobId))
                    : Task.FromResult(_jobs.GetInfo(known));
            }
            if (_storage.IsClosed(submission.Owner)) return Task.FromException<JobInfo>(QueueErrors.OwnerClosed());
            if (_jobs.CheckQuota(submission) is { } refusal) return Task.FromException<JobInfo>(refusal);
            JobInfo info = _jobs.GetInfo(_jobs.Add(submission, Activity.Current?.Id));
            Telemetry.JobSubmitted(submission.Model);
            Log.JobQueued(_logger, submission.JobId, submission.Model, info.Position);
            return Task.FromResult(info);
        }
    }

    /// <inheritdoc/>
    public Task<JobInfo?> FindSubmittedAsync(
        string jobId, string owner, ReadOnlyMemory<byte> program, CancellationToken cancellationToken = default)
    {
        lock (_lock)
        {
            if (_jobs.Find(jobId) is not { } known || known.Submission.Owner != owner) return Task.FromResult<JobInfo?>(null);
            return known.ProgramHash == JobRules.HashProgram(program) ? Task.FromResult<JobInfo?>(_jobs.GetInfo(known))
                : Task.FromException<JobInfo?>(QueueErrors.JobIdReused(jobId));
        }
    }

    /// <inheritdoc/>
    public async Task<Lease?> LeaseAsync(
        string worker, IReadOnlyCollection<string> models, TimeSpan wait, Func<TimeSpan> wakeupDelay,
        IReadOnlyCollection<string> exceptOwners, CancellationToken cancellationToken = default)
    {
        using WakeupSubscription wakeup = _wakeups.Subscribe([.. models.Select(InMemoryJobStore.GetWorkKey)]);
        return await _leaseLoop.WaitAsync(
            wakeup, () => Task.FromResult(TryLease(worker, models, exceptOwners)), wait, wakeupDelay, cancellationToken);
    }

    /// <inheritdoc/>
    public Task<bool> RenewAsync(Lease lease, CancellationToken cancellationToken = default)
    {
        cancellationToken.ThrowIfCancellationRequested();
        lock (_lock)
        {
            if (_jobs.FindLeased(lease) is not { ActiveLease: { } activeLease }) return Task.FromResult(false);
            activeLease.Deadline = _time.GetUtcNow() + _options.LeaseDuration;
            return Task.FromResult(true);
        }
    }

    /// <inheritdoc/>
    public Task<bool> PublishAsync(Lease lease, Event jobEvent, CancellationToken cancellationToken = default)
    {
        cancellationToken.ThrowIfCancellationRequested();
        Event stamped = JobRules.StampWorkerEvent(lease, jobEvent);
        lock (_lock)
        {
            if (_jobs.FindLeased(lease) is not { } job)
            {
                Telemetry.EventFenced(lease.Model);
                Log.EventFenced(_logger, lease.JobId, lease.Worker, lease.Token);
                return Task.FromResult(false);
            }
            if (stamped.State is null && _jobs.FindStorageViolation(job, stamped) is NdifException violation)
            {
                // the job ends here; its worker learns of it as of a lost lease
                _jobs.ReleaseLease(job, isLost: true);
                _jobs.End(job, JobRules.CreateFailure(lease, violation.Error), GetChargeOfRun(job));
                return Task.FromResult(false);
            }
            _jobs.AddBlobs(job, stamped);
            if (stamped.State is { } state && state.State.IsTerminal())
            {
                _jobs.ReleaseLease(job, isLost: false);
                if (state.State == JobState.Completed)
                    _jobs.GetModel(job).RecordCompletion(_time.GetUtcNow() - job.Started!.Value - JobRules.GetLoadTime(state.Usage));
                _jobs.End(job, state, UsageCharge.FromUsage(state.Usage));
            }
            else
            {
                _jobs.Append(job, stamped);
            }
            return Task.FromResult(true);
        }
    }

    /// <inheritdoc/>
    public Task ReturnAsync(Lease lease, CancellationToken cancellationToken = default)
    {
        cancellationToken.ThrowIfCancellationRequested();
        lock (_lock)
        {
            if (_jobs.FindLeased(lease) is not { } job) return Task.CompletedTask;
            _jobs.ReleaseLease(job, isLost: false);
            _jobs.EnqueueInTurn(job);
            Log.JobReturned(_logger, lease.JobId, lease.Worker);
            return Task.CompletedTask;
        }
    }

    /// <inheritdoc/>
    public Task<JobInfo?> CancelAsync(string jobId, string reason, CancellationToken cancellationToken = default) =>
        Task.FromResult(TryCancel(jobId, "", reason, cancellationToken).Job);

    /// <inheritdoc/>
    public Task<JobInfo?> CancelIfUnfollowedAsync(
        string jobId, string follower, string reason, CancellationToken cancellationToken = default) =>
        Task.FromResult(TryCancel(jobId, follower, reason, cancellationToken).Job);

    /// <inheritdoc/>
    public Task FollowAsync(
        IReadOnlyCollection<string> jobIds, string follower, TimeSpan? lifetime, CancellationToken cancellationToken = default)
    {
        cancellationToken.ThrowIfCancellationRequested();
        lock (_lock)
        {
            DateTimeOffset until = lifetime is { } span ? _time.GetUtcNow() + span : DateTimeOffset.MaxValue;
            foreach (string id in jobIds)
                if (_jobs.Find(id) is { } job && !job.State.IsTerminal()) job.Followers[follower] = until;
        }
        return Task.CompletedTask;
    }

    /// <inheritdoc/>
    public async Task<int> CloseOwnerAsync(string owner, string reason, CancellationToken cancellationToken = default)
    {
        lock (_lock) _storage.Close(owner);
        IReadOnlyList<JobInfo> jobs = await ListAsync(owner, int.MaxValue, activeOnly: true, cancellationToken);
        return jobs.Count(job => TryCancel(job.Id, "", reason, cancellationToken).IsCancelled);
    }

    /// <param name="follower">Empty to cancel the job whoever follows it.</param>
    /// <returns>The job, null if there is none, and whether this call ended it.</returns>
    private (JobInfo? Job, bool IsCancelled) TryCancel(
        string jobId, string follower, string reason, CancellationToken cancellationToken)
    {
        cancellationToken.ThrowIfCancellationRequested();
        lock (_lock)
        {
            if (_jobs.Find(jobId) is not { } job) return (null, false);
            bool isFollowed = false;
            if (follower.Length > 0)
            {
                job.Followers.Remove(follower);
                isFollowed = job.Followers.Values.Any(until => until > _time.GetUtcNow());
            }
            if (job.State.IsTerminal() || isFollowed) return (_jobs.GetInfo(job), false);
            UsageCharge charge = UsageCharge.Zero;
            if (job.ActiveLease is not null)
            {
                _jobs.ReleaseLease(job, isLost: true);
                charge = GetChargeOfRun(job);
            }
            else
            {
                _jobs.GetModel(job).Queue.RemoveWaiting(job.QueueEntry);
            }
            Error error = QueueErrors.Cancelled(reason);
            _jobs.End(job, new StateChanged { State = JobState.Cancelled, Error = error, Attempt = (uint)job.Attempt }, charge);
            return (_jobs.GetInfo(job), true);
        }
    }

    /// <inheritdoc/>
    public Task<JobInfo?> GetAsync(string jobId, CancellationToken cancellationToken = default)
    {
        lock (_lock) return Task.FromResult(_jobs.Find(jobId) is { } job ? _jobs.GetInfo(job) : null);
    }

    /// <inheritdoc/>
    public Task<IReadOnlyList<JobInfo>> ListAsync(string owner, int limit, bool activeOnly, CancellationToken cancellationToken = default)
    {
        lock (_lock)
        {
            return Task.FromResult<IReadOnlyList<JobInfo>>([.. _jobs.All
                .Where(job => (owner.Length == 0 || job.Submission.Owner == owner) && !(activeOnly && job.State.IsTerminal()))
                .OrderByDescending(job => job.QueueEntry.Number).Take(limit).Select(_jobs.GetInfo)]);
        }
    }

    /// <inheritdoc/>
    public Task<string?> GetOwnerAsync(string jobId, CancellationToken cancellationToken = default)
    {
        lock (_lock) return Task.FromResult(_jobs.Find(jobId)?.Submission.Owner);
    }

    /// <inheritdoc/>
    public async IAsyncEnumerable<Event> WatchAsync(
        string jobId, ulong fromSequence, [EnumeratorCancellation] CancellationToken cancellationToken = default)
    {
        using WakeupSubscription wakeup = _wakeups.Subscribe(InMemoryJobStore.GetEventsKey(jobId));
        InMemoryJob job;
        lock (_lock) job = _jobs.Find(jobId) ?? throw QueueErrors.UnknownJob(jobId);
        int next = (int)Math.Min(Math.Max(fromSequence, 1), int.MaxValue) - 1;
        while (true)
        {
            Event[] newEvents;
            bool hasEnded;
            lock (_lock)
            {
                ObjectDisposedException.ThrowIf(_isDisposed, this);
                if (_jobs.Find(jobId) != job) throw QueueErrors.JobDeletedWhileWatched(jobId);
                newEvents = [.. job.Events.Skip(next)];
                hasEnded = job.State.IsTerminal();
            }
            foreach (Event jobEvent in newEvents)
            {
                cancellationToken.ThrowIfCancellationRequested();
                int bytes = jobEvent.CalculateSize();
                using IDisposable? held = bytes <= LargeEventLimiter.LargeEventBytes ? null
                    : await _largeEvents.AcquireAsync(job.Submission.Owner, bytes, cancellationToken);
                yield return jobEvent.Clone();
            }
            if (hasEnded) yield break;
            next += newEvents.Length;
            await wakeup.WaitAsync(Timeout.InfiniteTimeSpan, _time, cancellationToken);
        }
    }

    /// <inheritdoc/>
    public Task<bool?> DeleteAsync(string jobId, CancellationToken cancellationToken = default)
    {
        cancellationToken.ThrowIfCancellationRequested();
        lock (_lock)
        {
            if (_jobs.Find(jobId) is not { } job) return Task.FromResult<bool?>(null);
            if (!job.State.IsTerminal()) return Task.FromResult<bool?>(false);
            _jobs.Remove(job);
            Log.JobDeleted(_logger, jobId);
            return Task.FromResult<bool?>(true);
        }
    }

    /// <inheritdoc/>
    public Task<IReadOnlyList<UsageRow>> GetUsageAsync(
        string owner, DateOnly since, DateOnly until, CancellationToken cancellationToken = default)
    {
        lock (_lock) return Task.FromResult(_jobs.UsageAccounts.Get(owner, since, until));
    }

    /// <inheritdoc/>
    public Task<int> PublishPositionsAsync(
        IReadOnlyCollection<string> jobIds, TimeSpan minInterval, IReadOnlyDictionary<string, string>? notices,
        CancellationToken cancellationToken = default)
    {
        cancellationToken.ThrowIfCancellationRequested();
        lock (_lock)
        {
            return Task.FromResult(jobIds.Count(id =>
                _jobs.Find(id) is { State: JobState.Queued, ActiveLease: null } job
                    && _jobs.TryPublishPosition(job, minInterval, notices?.GetValueOrDefault(job.Submission.Model))));
        }
    }

    /// <inheritdoc/>
    public Task<QueueCounts> CountAsync(CancellationToken cancellationToken = default)
    {
        lock (_lock)
        {
            Dictionary<string, (int Waiting, int Running)> byModel = _jobs.Models
                .Where(m => m.Value.Queue.Count + m.Value.Running > 0)
                .ToDictionary(m => m.Key, m => (m.Value.Queue.Count, m.Value.Running));
            return Task.FromResult(new QueueCounts(
                byModel.Values.Sum(m => m.Waiting), byModel.Values.Sum(m => m.Running), _jobs.Completed, _jobs.Failed, byModel)
            {
                Cancelled = _jobs.Cancelled, TimedOut = _jobs.TimedOut,
            });
        }
    }

    /// <inheritdoc/>
    public Task<int> ReapExpiredLeasesAsync(CancellationToken cancellationToken = default)
    {
        lock (_lock)
        {
            _jobs.RemoveExpired();
            InMemoryJob[] expired = [.. _jobs.All.Where(job => job.ActiveLease?.Deadline <= _time.GetUtcNow())
                .OrderBy(job => job.ActiveLease!.Deadline).ThenBy(job => job.Submission.JobId, StringComparer.Ordinal)];
            foreach (InMemoryJob job in expired) _jobs.ExpireLease(job);
            return Task.FromResult(expired.Length);
        }
    }

    /// <inheritdoc/>
    public Task<IReadOnlyList<DeadLetter>> ListDeadLettersAsync(int limit, CancellationToken cancellationToken = default)
    {
        lock (_lock)
        {
            return Task.FromResult<IReadOnlyList<DeadLetter>>([.. _jobs.All
                .Where(job => job.IsDeadLetter).OrderByDescending(job => job.Ended).Take(limit).Select(job => new DeadLetter
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
        InMemoryJob? dead;
        lock (_lock) dead = _jobs.Find(deadJobId) is { IsDeadLetter: true } job ? job : null;
        if (dead is null) return null;
        JobInfo info = await SubmitAsync(dead.Submission with { JobId = newJobId }, cancellationToken);
        lock (_lock) dead.IsDeadLetter = false;
        Log.Requeued(_logger, deadJobId, newJobId);
        return info;
    }

    /// <inheritdoc/>
    public Task ReplyAsync(string jobId, LocalReply reply, CancellationToken cancellationToken = default)
    {
        lock (_lock)
        {
            if (_jobs.Find(jobId) is not { } job) throw QueueErrors.UnknownJob(jobId);
            if (!job.State.IsTerminal() && !job.Replies.ContainsKey(reply.Ticket))
            {
                long bytes = InMemoryJobStore.GetReplyBytes(reply);
                if (_jobs.FindStorageViolation(job, bytes) is { } violation) return Task.FromException(violation);
                job.Replies.Add(reply.Ticket, reply.Clone());
                _jobs.CountBytes(job, bytes);
            }
        }
        _wakeups.Notify(InMemoryJobStore.GetReplyKey(jobId, reply.Ticket));
        return Task.CompletedTask;
    }

    /// <inheritdoc/>
    public async Task<LocalReply?> AwaitReplyAsync(
        Lease lease, ulong ticket, TimeSpan timeout, CancellationToken cancellationToken = default)
    {
        using WakeupSubscription wakeup = _wakeups.Subscribe(InMemoryJobStore.GetReplyKey(lease.JobId, ticket));
        using CancellationTokenRegistration lost = lease.Lost.Register(wakeup.Notify);
        long started = _time.GetTimestamp();
        while (true)
        {
            lock (_lock)
            {
                if (_jobs.FindLeased(lease) is not { } job) return null;
                if (job.Replies.Remove(ticket, out LocalReply? reply))
                {
                    _jobs.CountBytes(job, -InMemoryJobStore.GetReplyBytes(reply));
                    return reply;
                }
            }
            TimeSpan left = timeout - _time.GetElapsedTime(started);
            if (left <= TimeSpan.Zero) return null;
            await wakeup.WaitAsync(left, _time, cancellationToken);
        }
    }

    public ValueTask DisposeAsync()
    {
        lock (_lock) _isDisposed = true;
        _wakeups.NotifyAll();
        return _largeEvents.DisposeAsync();
    }

    /// <summary>The charge for a job that ends here while it runs: the time since its lease.</summary>
    private UsageCharge GetChargeOfRun(InMemoryJob job) =>
        UsageCharge.Zero with { ComputeMilliseconds = (long)(_time.GetUtcNow() - job.Started!.Value).TotalMilliseconds };

    private Lease? TryLease(string worker, IReadOnlyCollection<string> models, IReadOnlyCollection<string> exceptOwners)
    {
        lock (_lock)
        {
            ObjectDisposedException.ThrowIf(_isDisposed, this);
            return _jobs.TryLease(worker, models, exceptOwners);
        }
    }
}
