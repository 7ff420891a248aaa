using Google.Protobuf;
using Google.Protobuf.WellKnownTypes;
using Microsoft.Extensions.Logging;
using Ndif.Protocol;
using Ndif.Queue.Rules;
using Ndif.Queue.Wakeups;

namespace Ndif.Queue.Memory;

/// <summary>
/// The jobs and per-model queues of the in-memory queue, and the state transitions of a job. It corresponds to the Lua scripts on Redis.
/// Accessed only under the lock of the queue.
/// </summary>
internal sealed class InMemoryJobStore(
    QueueOptions options, TimeProvider time, WakeupHub wakeups, InMemoryStorageAccounts storage, ILogger logger)
{
    private readonly Dictionary<string, InMemoryJob> _jobs = [];
    private readonly Dictionary<string, InMemoryModelState> _models = [];
    private readonly Dictionary<string, InMemoryOwnerState> _owners = [];
    private long _lastNumber;
    private long _lastToken;

    public IEnumerable<InMemoryJob> All => _jobs.Values.Where(job => !IsExpired(job));

    public IEnumerable<KeyValuePair<string, InMemoryModelState>> Models => _models;

    public InMemoryUsageAccounts UsageAccounts { get; } = new();

    public long Completed { get; private set; }

    public long Failed { get; private set; }

    public long Cancelled { get; private set; }

    /// <summary>The failed jobs that ran too long.</summary>
    public long TimedOut { get; private set; }

    /// <summary>Returns the error for the quota that this submission exceeds, or null.</summary>
    public Exception? CheckQuota(JobSubmission submission)
    {
        if (submission.Quota is not { } quota) return FindStorageViolation(submission);
        DateTimeOffset now = time.GetUtcNow();
        InMemoryOwnerState owner = GetOwner(submission.Owner);
        InMemoryModelState? model = _models.GetValueOrDefault(submission.Model);
        int recent = owner.CountRecent(now);
        TimeSpan rateRetryDelay = recent >= quota.PerMinute ? owner.GetTimeUntilBelow(quota.PerMinute, now) : TimeSpan.Zero;
        return QuotaRules.GetViolation(quota, new QuotaRules.Counts(
            owner.Active, recent, owner.Waiting, _models.Values.Sum(m => m.Queue.Count),
            rateRetryDelay, model?.MeanSeconds ?? 0, model?.Running ?? 0)) ?? FindStorageViolation(submission);
    }

    private Exception? FindStorageViolation(JobSubmission submission) => storage.FindViolation(
        submission.Owner, submission.Storage, submission.Program.Length + StorageRules.JobBytes, 1);

    /// <summary>Adds to the bytes that the job stores in the queue.</summary>
    public void CountBytes(InMemoryJob job, long bytes)
    {
        job.QueueBytes += bytes;
        storage.Count(job.Submission.Owner, bytes, 0);
    }

    /// <summary>Adds the blobs of an event to those of the job.</summary>
    public void AddBlobs(InMemoryJob job, Event jobEvent)
    {
        foreach (BlobRef blob in StorageRules.GetBlobs(jobEvent))
        {
            job.Blobs.Add(blob.Id);
            job.BlobBytes += StorageRules.CountBlob(blob.Length);
            storage.Count(job.Submission.Owner, 0, StorageRules.CountBlob(blob.Length));
            CountBytes(job, blob.Id.Length);
        }
    }

    /// <summary>Returns the error if the owner of the job may not store an event and its blobs.</summary>
    public Exception? FindStorageViolation(InMemoryJob job, Event jobEvent)
    {
        BlobRef[] blobs = [.. StorageRules.GetBlobs(jobEvent)];
        return storage.FindViolation(
            job.Submission.Owner, job.Submission.Storage, jobEvent.CalculateSize() + blobs.Sum(blob => blob.Id.Length),
            blobs.Sum(blob => StorageRules.CountBlob(blob.Length)));
    }

    /// <summary>Returns the error if the owner of the job may not store so many more bytes in the queue.</summary>
    public Exception? FindStorageViolation(InMemoryJob job, long bytes) =>
        storage.FindViolation(job.Submission.Owner, job.Submission.Storage, bytes, 0);

    /// <summary>Deletes the answers that were sent to a job.</summary>
    private void ClearReplies(InMemoryJob job)
    {
        foreach (LocalReply reply in job.Replies.Values) CountBytes(job, -GetReplyBytes(reply));
        job.Replies.Clear();
    }

    public static long GetReplyBytes(LocalReply reply) => reply.CalculateSize() + StorageRules.EventBytes;

    public InMemoryJob Add(JobSubmission submission, string? traceParent)
    {
        GetOwner(submission.Owner).RecordSubmission(time.GetUtcNow());
        var job = new InMemoryJob(submission, ++_lastNumber, time.GetUtcNow(), traceParent);
        _jobs[submission.JobId] = job;
        CountBytes(job, submission.Program.Length + StorageRules.JobBytes);
        GetModel(job).Queue.Enqueue(job.QueueEntry);
        Append(job, new StateChanged { State = JobState.Received });
        OnEnqueued(job);
        return job;
    }

    public void RemoveExpired()
    {
        foreach (InMemoryJob old in _jobs.Values.Where(IsExpired).ToArray()) Remove(old);
        DateTimeOffset now = time.GetUtcNow();
        string[] idle =
            [.. _owners.Where(owner => owner.Value.Active == 0 && owner.Value.CountRecent(now) == 0).Select(owner => owner.Key)];
        foreach (string owner in idle) _owners.Remove(owner);
        UsageAccounts.RemoveExpired(now);
    }

    /// <summary>Deletes a job and wakes the readers of its events, which then fail with UNKNOWN_JOB.</summary>
    public void Remove(InMemoryJob job)
    {
        if (_jobs.Remove(job.Submission.JobId)) storage.OnDeleted(job);
        wakeups.Notify(GetEventsKey(job.Submission.JobId));
    }

    public Lease? TryLease(string worker, IReadOnlyCollection<string> requestedModels, IReadOnlyCollection<string> exceptOwners)
    {
        // Virtual times of different models cannot be compared, so the model whose first job was submitted earliest is served.
        QueueEntry? first = requestedModels.Distinct()
            .Select(name => _models.GetValueOrDefault(name)?.Queue.FindFirst(exceptOwners)).OfType<QueueEntry>()
            .MinBy(entry => entry.Number);
        if (first is null) return null;
        InMemoryJob job = _jobs[first.JobId];
        InMemoryModelState model = GetModel(job);
        model.Queue.Dequeue(first);
        model.Running++;
        if (job.Attempt == 0) GetOwner(job.Submission.Owner).Waiting--;
        DateTimeOffset now = time.GetUtcNow();
        job.ActiveLease = new ActiveLease(++_lastToken, now + options.LeaseDuration, new CancellationTokenSource());
        job.Attempt++;
        if (job.Attempt > 1) Append(job, new Event { Restart = new Restart { Attempt = (uint)job.Attempt } });
        job.Worker = worker;
        job.Started = now;
        JobSubmission submission = job.Submission;
        var lease = new Lease(
            submission.JobId, submission.Model, submission.Owner, submission.Program, worker, _lastToken, job.Attempt, job.Submitted,
            submission.TimeLimit)
        {
            Lost = job.ActiveLease.Lost.Token,
            MaxResultBytes = submission.MaxResultBytes,
            Weight = submission.Weight,
            TraceParent = job.TraceParent,
            TimeInQueue = now - job.Submitted,
        };
        Telemetry.JobLeased(lease, now);
        Log.JobLeased(logger, lease.JobId, worker, lease.Attempt, _lastToken);
        return lease;
    }

    public void ExpireLease(InMemoryJob job)
    {
        job.LostLeases++;
        job.IsDeadLetter = job.LostLeases >= options.MaxAttempts;
        ReleaseLease(job, isLost: true);
        Telemetry.LeaseExpired(job.Submission.Model, job.IsDeadLetter);
        if (job.IsDeadLetter)
        {
            Log.DeadLetter(logger, job.Submission.JobId, job.Worker, job.LostLeases);
            End(job, new StateChanged
            {
                State = JobState.Failed,
                Error = QueueErrors.WorkerLost(job.LostLeases, job.Worker),
                Attempt = (uint)job.Attempt,
                Worker = job.Worker,
            }, UsageCharge.Zero);
        }
        else
        {
            Log.LeaseExpired(logger, job.Submission.JobId, job.Worker, job.LostLeases);
            EnqueueFront(job);
        }
    }

    /// <summary>Queues a job that lost its worker in front of all others.</summary>
    private void EnqueueFront(InMemoryJob job) => Requeue(job, GetModel(job).Queue.EnqueueFront);

    /// <summary>Queues a job that its worker has given back at the place of its owner's next job.</summary>
    public void EnqueueInTurn(InMemoryJob job) => Requeue(job, GetModel(job).Queue.EnqueueInTurn);

    private void Requeue(InMemoryJob job, Action<QueueEntry> enqueue)
    {
        job.Worker = "";
        ClearReplies(job); // the next attempt sends its requests again
        enqueue(job.QueueEntry);
        OnEnqueued(job);
    }

    private void OnEnqueued(InMemoryJob job)
    {
        PublishPosition(job, GetModel(job).Queue.GetPosition(job.QueueEntry));
        wakeups.Notify(GetWorkKey(job.Submission.Model));
    }

    /// <summary>Publishes the position of a waiting job if it has changed enough since the last time. Returns whether it did.</summary>
    /// <param name="notice">The current notice; null to leave it as it is.</param>
    public bool TryPublishPosition(InMemoryJob job, TimeSpan minInterval, string? notice)
    {
        int position = GetModel(job).Queue.GetPosition(job.QueueEntry);
        (int lastPosition, DateTimeOffset lastTime) = job.LastPublishedPosition;
        if (time.GetUtcNow() - lastTime < minInterval) return false;
        bool isNewNotice = notice is not null && notice != job.Notice;
        if (isNewNotice) job.Notice = notice!;
        if (!isNewNotice && !JobRules.ShouldPublishPosition(position, lastPosition)) return false;
        PublishPosition(job, position);
        return true;
    }

    private void PublishPosition(InMemoryJob job, int position)
    {
        job.LastPublishedPosition = (position, time.GetUtcNow());
        Append(job, new StateChanged
        {
            State = JobState.Queued, Position = (uint)position, WaitSeconds = GetModel(job).EstimateWaitSeconds(position),
            Attempt = (uint)job.Attempt, Notice = job.Notice,
        });
    }

    public void ReleaseLease(InMemoryJob job, bool isLost)
    {
        if (isLost) _ = job.ActiveLease!.Lost.CancelAsync(); // asynchronously: callbacks must not run under the lock
        job.ActiveLease = null;
        GetModel(job).Running--;
    }

    /// <summary>Ends a job. This is the only place where the usage of its owner is recorded, so each job is recorded once.</summary>
    public void End(InMemoryJob job, StateChanged outcome, UsageCharge charge)
    {
        job.Ended = time.GetUtcNow();
        InMemoryOwnerState owner = GetOwner(job.Submission.Owner);
        owner.Active--;
        if (job.Attempt == 0) owner.Waiting--;
        UsageAccounts.Add(job.Ended.Value, job.Submission.Owner, job.Submission.Model, outcome.State, charge);
        Telemetry.Charged(job.Submission.Model, charge);
        job.Error = outcome.Error;
        job.Usage = outcome.Usage;
        ClearReplies(job);
        job.Followers.Clear();
        CountBytes(job, (outcome.Error?.CalculateSize() ?? 0) + (outcome.Usage?.CalculateSize() ?? 0));
        if (!job.IsDeadLetter)
        {
            CountBytes(job, -job.Submission.Program.Length);
            job.ReleaseProgram();
        }
        if (outcome.State == JobState.Completed) Completed++;
        else if (outcome.State == JobState.Failed) Failed++;
        else Cancelled++;
        if (outcome.Error?.Code is ErrorCode.JobTimeout) TimedOut++;
        Append(job, outcome);
        GetModel(job).ResetIfIdle();
        Log.JobEnded(logger, job.Submission.JobId, outcome.State);
    }

    private void Append(InMemoryJob job, StateChanged state) => Append(job, new Event { State = state });

    public void Append(InMemoryJob job, Event jobEvent)
    {
        if (jobEvent.State is { } state) job.State = state.State;
        jobEvent.Sequence = (ulong)job.Events.Count + 1;
        jobEvent.Time = time.GetUtcNow().ToTimestamp();
        job.Events.Add(jobEvent);
        CountBytes(job, jobEvent.CalculateSize() + StorageRules.EventBytes);
        wakeups.Notify(GetEventsKey(job.Submission.JobId));
    }

    public JobInfo GetInfo(InMemoryJob job)
    {
        InMemoryModelState model = GetModel(job);
        int position = job.ActiveLease is null && !job.State.IsTerminal() ? model.Queue.GetPosition(job.QueueEntry) : 0;
        return job.ToJobInfo(position, model.EstimateWaitSeconds(position));
    }

    /// <summary>Returns the job of a lease, or null if the lease was lost.</summary>
    public InMemoryJob? FindLeased(Lease lease) =>
        Find(lease.JobId) is { ActiveLease: { } activeLease } job && activeLease.Token == lease.Token ? job : null;

    public InMemoryJob? Find(string jobId) => _jobs.GetValueOrDefault(jobId) is { } job && !IsExpired(job) ? job : null;

    public bool IsExpired(InMemoryJob job) => job.Ended + options.Retention <= time.GetUtcNow();

    public InMemoryModelState GetModel(InMemoryJob job) =>
        _models.TryGetValue(job.Submission.Model, out InMemoryModelState? model)
            ? model
            : _models[job.Submission.Model] = new InMemoryModelState();

    private InMemoryOwnerState GetOwner(string name) =>
        _owners.TryGetValue(name, out InMemoryOwnerState? owner) ? owner : _owners[name] = new InMemoryOwnerState();

    public static string GetWorkKey(string model) => $"work {model}";

    public static string GetEventsKey(string jobId) => $"news {jobId}";

    public static string GetReplyKey(string jobId, ulong ticket) => $"reply {jobId} {ticket}";
}
