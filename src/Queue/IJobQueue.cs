using Ndif.Protocol;

namespace Ndif.Queue;

/// <summary>
/// A durable job queue: a job waits, is leased to one worker at a time, and publishes its events. There are two implementations,
/// in memory and on Redis; both pass the same contract test (tests/Queue.Tests/JobQueueContract.cs).
/// </summary>
public interface IJobQueue : IAsyncDisposable
{
    /// <summary>
    /// Accepts a job and records its RECEIVED and QUEUED events. Submitting a known job id again with the same program queues nothing and
    /// returns the job's current state. The quota is checked in the same atomic step that queues the job, so that concurrent submissions
    /// cannot exceed it together, not even through several gateways.
    /// </summary>
    /// <exception cref="NdifException">
    /// QUOTA_EXCEEDED or UNAVAILABLE: the submission exceeds its quota. The error gives the limit and when to try again.
    /// BAD_ARGUMENT: the owner has used the id for another program. PERMISSION_DENIED: the id belongs to another owner.
    /// UNAUTHENTICATED: the owner was closed (<see cref="CloseOwnerAsync"/>).
    /// </exception>
    Task<JobInfo> SubmitAsync(JobSubmission submission, CancellationToken cancellationToken = default);

    /// <summary>Returns the job that an owner has already submitted under this id, or null.</summary>
    /// <exception cref="NdifException">BAD_ARGUMENT: the owner has used the id for another program.</exception>
    Task<JobInfo?> FindSubmittedAsync(
        string jobId, string owner, ReadOnlyMemory<byte> program, CancellationToken cancellationToken = default);

    /// <summary>
    /// Leases the next job for one of these models in fair-share order. Returns null if no job arrived within <paramref name="wait"/>.
    /// No model has priority: the model whose first job is oldest is served first. To prefer a model, ask for it alone first, without
    /// a wait. A job whose lease is not renewed returns to the queue; renew at a third of the lease duration.
    /// </summary>
    /// <param name="wakeupDelay">
    /// How long a job that arrives during the wait is left to other workers. A worker that runs jobs already sets it, so that an idle one
    /// is faster.
    /// </param>
    /// <param name="exceptOwners">Owners whose jobs are left waiting; the next job of another owner is leased.</param>
    Task<Lease?> LeaseAsync(
        string worker, IReadOnlyCollection<string> models, TimeSpan wait, Func<TimeSpan> wakeupDelay,
        IReadOnlyCollection<string> exceptOwners, CancellationToken cancellationToken = default);

    /// <summary>Extends a lease. Returns false if the lease was lost because the job was cancelled or runs on another worker.</summary>
    Task<bool> RenewAsync(Lease lease, CancellationToken cancellationToken = default);

    /// <summary>
    /// Assigns the next sequence number to an event of a running job and publishes it. Returns false, and publishes nothing, if the
    /// lease was lost. A <see cref="StateChanged"/> with a terminal state is the job's only outcome and releases the lease.
    /// </summary>
    Task<bool> PublishAsync(Lease lease, Event jobEvent, CancellationToken cancellationToken = default);

    /// <summary>
    /// Publishes an event as <see cref="PublishAsync"/>, once and as soon as the queue can be reached. The lease survives an outage of the
    /// queue, so a running job does not have to start over.
    /// </summary>
    /// <exception cref="NdifException">UNAVAILABLE: cancelled while the queue could not be reached.</exception>
    Task<bool> PublishWhenReachableAsync(Lease lease, Event jobEvent, CancellationToken cancellationToken) =>
        PublishAsync(lease, jobEvent, cancellationToken);

    /// <summary>
    /// Returns a leased job to the queue, at the place of its owner's next job. A worker calls this when it shuts down.
    /// </summary>
    Task ReturnAsync(Lease lease, CancellationToken cancellationToken = default);

    /// <summary>
    /// Ends a job as CANCELLED. A waiting job ends at once; a running job loses its lease. Returns null if there is no such job.
    /// </summary>
    Task<JobInfo?> CancelAsync(string jobId, string reason, CancellationToken cancellationToken = default);

    /// <summary>
    /// Ends a job as CANCELLED, as <see cref="CancelAsync"/>, if nobody but this follower follows it. The follower is removed in any case.
    /// </summary>
    Task<JobInfo?> CancelIfUnfollowedAsync(
        string jobId, string follower, string reason, CancellationToken cancellationToken = default);

    /// <summary>Notes that a process follows jobs for its clients. Jobs that have ended or do not exist are ignored.</summary>
    /// <param name="follower">The name of the process.</param>
    /// <param name="lifetime">
    /// How long it counts without another call, so that the followers of a dead process disappear; null for always.
    /// </param>
    Task FollowAsync(
        IReadOnlyCollection<string> jobIds, string follower, TimeSpan? lifetime, CancellationToken cancellationToken = default);

    /// <summary>
    /// Refuses new jobs of an owner whose key was revoked, and cancels those that wait or run. Returns the number of jobs that this call
    /// cancelled; those that another process cancels at the same time do not count.
    /// </summary>
    Task<int> CloseOwnerAsync(string owner, string reason, CancellationToken cancellationToken = default);

    /// <summary>Returns the current state of a job, or null if there is no such job.</summary>
    Task<JobInfo?> GetAsync(string jobId, CancellationToken cancellationToken = default);

    /// <summary>Returns the jobs of an owner, or of all owners if it is empty, newest first.</summary>
    Task<IReadOnlyList<JobInfo>> ListAsync(string owner, int limit, bool activeOnly, CancellationToken cancellationToken = default);

    /// <summary>Returns the owner that submitted a job, or null if there is no such job.</summary>
    Task<string?> GetOwnerAsync(string jobId, CancellationToken cancellationToken = default);

    /// <summary>
    /// Streams the events of a job from a sequence number on (the first event has number 1): past events at once, later events as they
    /// are published. The stream ends after the terminal state. Enumeration throws UNKNOWN_JOB if the job does not exist, was deleted,
    /// or has passed its retention time. A large event waits while readers of the same owner hold others, until they ask for their next
    /// event or end.
    /// </summary>
    IAsyncEnumerable<Event> WatchAsync(string jobId, ulong fromSequence, CancellationToken cancellationToken = default);

    /// <summary>
    /// Deletes an ended job and its events; its usage record is kept. Returns null if there is no such job and false if the job has
    /// not ended.
    /// </summary>
    Task<bool?> DeleteAsync(string jobId, CancellationToken cancellationToken = default);

    /// <summary>
    /// Returns the usage between two days (UTC, both inclusive), by day, key and model. Each job is counted once, in the step that
    /// ends it.
    /// </summary>
    /// <param name="owner">The key; empty for all keys.</param>
    Task<IReadOnlyList<UsageRow>> GetUsageAsync(
        string owner, DateOnly since, DateOnly until, CancellationToken cancellationToken = default);

    /// <summary>
    /// Publishes the current position of waiting jobs as another QUEUED event. A job is skipped if its position has not changed enough
    /// since the last one that was published (<c>JobRules.ShouldPublishPosition</c>) and its notice is the same, or if that was less than
    /// <paramref name="minInterval"/> ago. The cost depends on the number of <paramref name="jobIds"/>, not on the length of the queue.
    /// </summary>
    /// <param name="notices">The notice by model, empty if there is nothing to say; null to leave the notices as they are.</param>
    /// <returns>The number of jobs whose position was published.</returns>
    Task<int> PublishPositionsAsync(
        IReadOnlyCollection<string> jobIds, TimeSpan minInterval, IReadOnlyDictionary<string, string>? notices,
        CancellationToken cancellationToken = default);

    /// <summary>The bytes that owners store.</summary>
    IStorageAccounts Storage { get; }

    /// <summary>Counts the waiting and running jobs by model, and the ended jobs by outcome.</summary>
    Task<QueueCounts> CountAsync(CancellationToken cancellationToken = default);

    /// <summary>
    /// Returns jobs with expired leases to the queue, or moves them to the dead letters after too many lost leases. LeaseAsync does this
    /// regularly; gateways should call it as well, for the time when no worker is alive.
    /// </summary>
    Task<int> ReapExpiredLeasesAsync(CancellationToken cancellationToken = default);

    /// <summary>Returns the jobs that failed because their workers were lost, newest first.</summary>
    Task<IReadOnlyList<DeadLetter>> ListDeadLettersAsync(int limit, CancellationToken cancellationToken = default);

    /// <summary>
    /// Submits the program of a dead letter again and removes the dead letter. It becomes a new job of the same owner and model, because
    /// a terminal state is final. Returns null if there is no such dead letter.
    /// </summary>
    Task<JobInfo?> RequeueAsync(string deadJobId, string newJobId, CancellationToken cancellationToken = default);

    /// <summary>Sends the client's answer to a <see cref="LocalRequest"/> to the worker that waits for it.</summary>
    Task ReplyAsync(string jobId, LocalReply reply, CancellationToken cancellationToken = default);

    /// <summary>Waits for the client's answer to a <see cref="LocalRequest"/>. Returns null if none arrived in time.</summary>
    Task<LocalReply?> AwaitReplyAsync(Lease lease, ulong ticket, TimeSpan timeout, CancellationToken cancellationToken = default);
}
