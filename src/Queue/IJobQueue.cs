using Ndif.Protocol;

namespace Ndif.Queue;

/// <summary>
/// How a job waits safely, runs once at a time, and tells what happens to it. Two implementations, in memory and on Redis,
/// pass one contract test (tests/Queue.Tests/JobQueueContract.cs).
/// </summary>
public interface IJobQueue : IAsyncDisposable
{
    /// <summary>
    /// Accepts a job and records its RECEIVED and QUEUED events. A job id that is known already is the same job: nothing is
    /// queued again, and its present state is returned. What the submission's quota does not allow is refused in the same step that
    /// would have queued it, so that submissions at the same time, also through several gateways, never pass it together.
    /// </summary>
    /// <exception cref="NdifException">QUOTA_EXCEEDED or UNAVAILABLE: the quota, with the number and when to try again.</exception>
    Task<JobInfo> SubmitAsync(JobSubmission submission, CancellationToken cancellationToken = default);

    /// <summary>
    /// Takes the next job for one of these models, in the order of fair share, or null when none came within
    /// <paramref name="wait"/>. The models are equal: the one whose first job is oldest goes first; ask for the preferred ones alone,
    /// with no wait, to prefer them. The job returns to the queue if the lease is not renewed: renew at a third of its duration.
    /// </summary>
    Task<Lease?> LeaseAsync(string worker, IReadOnlyCollection<string> models, TimeSpan wait, CancellationToken cancellationToken = default);

    /// <summary>Extends a lease. False if it was lost: the job was cancelled, or runs elsewhere.</summary>
    Task<bool> RenewAsync(Lease lease, CancellationToken cancellationToken = default);

    /// <summary>
    /// Gives an event of a running job its sequence number and publishes it. False if the lease was lost; nothing is published
    /// then. A <see cref="StateChanged"/> with an end state is the job's one outcome and releases the lease.
    /// </summary>
    Task<bool> PublishAsync(Lease lease, Event jobEvent, CancellationToken cancellationToken = default);

    /// <summary>Gives a leased job back to the front of the queue, as a worker does that shuts down.</summary>
    Task ReturnAsync(Lease lease, CancellationToken cancellationToken = default);

    /// <summary>Ends a job as CANCELLED: at once if it waits; a running one loses its lease. Null if there is no such job.</summary>
    Task<JobInfo?> CancelAsync(string jobId, string reason, CancellationToken cancellationToken = default);

    Task<JobInfo?> GetAsync(string jobId, CancellationToken cancellationToken = default);

    /// <summary>The jobs of an owner, newest first.</summary>
    Task<IReadOnlyList<JobInfo>> ListAsync(string owner, int limit, bool activeOnly, CancellationToken cancellationToken = default);

    /// <summary>Who submitted a job; null if there is no such job.</summary>
    Task<string?> GetOwnerAsync(string jobId, CancellationToken cancellationToken = default);

    /// <summary>
    /// All events of a job from a sequence number on (1 is the first), past ones at once and later ones as they come; ends after
    /// the end state. A step throws UNKNOWN_JOB if there is no such job, or no longer: it was deleted or has outlived its time.
    /// </summary>
    IAsyncEnumerable<Event> WatchAsync(string jobId, ulong fromSequence, CancellationToken cancellationToken = default);

    /// <summary>
    /// Forgets a job that has ended, with its events; what it used stays in the account. Null if there is no such job, false if it has
    /// not ended.
    /// </summary>
    Task<bool?> DeleteAsync(string jobId, CancellationToken cancellationToken = default);

    /// <summary>What was used on these days (UTC, both belong to it), by day, key and model. Each ended job is counted once, by the step that ended it.</summary>
    /// <param name="owner">The key; empty for every one.</param>
    Task<IReadOnlyList<UsageRow>> GetUsageAsync(string owner, DateOnly since, DateOnly until, CancellationToken cancellationToken = default);

    /// <summary>
    /// Tells those who watch these jobs where they stand now, as another QUEUED event: those that wait, whose position has changed since
    /// it was told (in the first hundred at all, behind them by a hundredth), and that were not told within <paramref name="minInterval"/>.
    /// It takes time for the jobs that are named, not for those that wait. How many were told.
    /// </summary>
    Task<int> PublishPositionsAsync(IReadOnlyCollection<string> jobIds, TimeSpan minInterval, CancellationToken cancellationToken = default);

    Task<QueueCounts> CountAsync(CancellationToken cancellationToken = default);

    /// <summary>Puts expired leases back, or into the dead letters after too many attempts. LeaseAsync does it now and then; gateways should too, for when no worker lives.</summary>
    Task<int> ReapExpiredLeasesAsync(CancellationToken cancellationToken = default);

    /// <summary>Jobs that were failed because their workers were lost, newest first.</summary>
    Task<IReadOnlyList<DeadLetter>> ListDeadLettersAsync(int limit, CancellationToken cancellationToken = default);

    /// <summary>
    /// Submits a dead letter's program again, as a new job of the same owner and model (an end state is final), and takes it from
    /// the dead letters. Null if there is no such dead letter.
    /// </summary>
    Task<JobInfo?> RequeueAsync(string deadJobId, string newJobId, CancellationToken cancellationToken = default);

    /// <summary>Sends the client's answer to a <see cref="LocalRequest"/> to the worker that waits for it.</summary>
    Task ReplyAsync(string jobId, LocalReply reply, CancellationToken cancellationToken = default);

    /// <summary>Waits for that answer; null if none came in time.</summary>
    Task<LocalReply?> AwaitReplyAsync(Lease lease, ulong ticket, TimeSpan timeout, CancellationToken cancellationToken = default);
}

/// <summary>What is submitted.</summary>
/// <param name="JobId">Chosen by the client or the gateway; letters, digits and '-', at most 64.</param>
/// <param name="Owner">The key's id: the unit of fairness.</param>
/// <param name="Model">The model's id; with a revision "id@revision".</param>
/// <param name="Program">The serialized <see cref="Protocol.Program"/>.</param>
/// <param name="Weight">Share of service relative to other owners; 1 is usual.</param>
/// <param name="Cost">Estimated work, in any unit that is the same for all jobs; advances the owner's virtual time.</param>
/// <param name="Quota">What the owner may have in the queue; null for no bounds.</param>
/// <param name="MaxResultBytes">The most bytes that the job may send back; its worker enforces it. Null for no bound.</param>
public sealed record JobSubmission(
    string JobId, string Owner, string Model, ReadOnlyMemory<byte> Program, double Weight = 1, double Cost = 1, TimeSpan? TimeLimit = null,
    Quota? Quota = null, long? MaxResultBytes = null);

/// <summary>What an owner may have in the queue, and what all may have.</summary>
/// <param name="InFlight">The owner's jobs that wait or run.</param>
/// <param name="PerMinute">The owner's jobs accepted within any minute.</param>
/// <param name="Waiting">The owner's jobs that wait for their first lease.</param>
/// <param name="Depth">The jobs of all owners and models that wait.</param>
public sealed record Quota(int InFlight, int PerMinute, int Waiting, int Depth);

/// <summary>A worker's time-limited right to run a job. The token fences off a worker that lost it.</summary>
public sealed record Lease(
    string JobId, string Model, string Owner, ReadOnlyMemory<byte> Program, string Worker, long Token, int Attempt,
    DateTimeOffset Submitted, TimeSpan? TimeLimit)
{
    /// <summary>Cancelled as soon as the queue knows that the job was cancelled or given to another worker.</summary>
    public CancellationToken Lost { get; init; }

    /// <summary>The most bytes that the job may send back; null for no bound.</summary>
    public long? MaxResultBytes { get; init; }

    /// <summary>The W3C trace parent under which the job was submitted, so that one trace shows it from the client to the worker.</summary>
    public string? TraceParent { get; init; }

    /// <summary>From the submission to this lease, by the queue's clock.</summary>
    public TimeSpan TimeInQueue { get; init; }

    /// <summary>When the lease was taken, on this process's <see cref="System.Diagnostics.Stopwatch"/>.</summary>
    public long LeasedTimestamp { get; } = System.Diagnostics.Stopwatch.GetTimestamp();
}

/// <summary>Counts over all jobs, and waiting and running ones by model.</summary>
public sealed record QueueCounts(
    int Waiting, int Running, long Completed, long Failed, IReadOnlyDictionary<string, (int Waiting, int Running)> ByModel);
