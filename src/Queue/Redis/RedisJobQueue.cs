using System.Diagnostics;
using System.Globalization;
using Google.Protobuf;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Ndif.Protocol;
using Ndif.Queue.Rules;
using Ndif.Queue.Wakeups;
using StackExchange.Redis;

namespace Ndif.Queue.Redis;

/// <summary>
/// The job queue of a cluster. All state is in Redis, and each step is one atomic Lua script (Scripts/*.lua), so any process may die
/// between two steps.
/// <code>
///   gateway                         Redis                                  worker
///   (1) submit ──────> waiting:{model}, events:{job} ──── work ────> (2) lease: token, deadline
///                                                                    (3) renew, every third of the lease duration
///   (6) watch  &lt;── news ────── events:{job} &lt;──────────────────────── (4) publish, while the token is valid
///   (7) cancel ──────────> token removed ──────── lost ────────────> Lease.Lost
///                      (8) reap, by any process                      (5) publish the terminal state
/// </code>
/// 1. Submit assigns the start tag in virtual time (see <see cref="Memory.FairShareQueue"/>) and adds the job to the queue of its model.
/// 2. Lease moves the first waiting job to the leased jobs, with a deadline and a fencing token that increases with every lease.
/// 3. Renew extends the deadline. A worker that cannot renew has lost the job.
/// 4. Publish checks the token, numbers the event and appends it in one script, so a worker that lost its job publishes nothing.
///    It also counts the events: if some that the worker has published are missing, Redis was restored to an earlier state, and the job
///    starts over.
/// 5. A terminal state removes the token in the same script, so a job has one outcome.
/// 6. Watch reads the event stream from any sequence number. Messages are only wake-ups: a lost message delays an event, but loses none.
/// 7. Cancel ends the job first. The worker learns of it from a message at once, or at the latest from its next renewal or event.
/// 8. Reap finds expired deadlines. It returns these jobs to the front of the queue, or after several lost leases to the dead letters.
/// </summary>
public sealed partial class RedisJobQueue : IJobQueue
{
    private readonly QueueOptions _options;
    private readonly ILogger _logger;
    private readonly RedisKeys _keys;
    private readonly RedisCommandExecutor _commands;
    private readonly RedisWakeupHub _wakeups;
    private readonly RedisLeaseTracker _leases = new();
    private readonly RedisEventStream _eventStream;
    private readonly LeaseWaitLoop _leaseLoop;
    private readonly TimeProvider _time;
    private volatile bool _isDisposed;

    /// <param name="connection">A shared connection; the queue does not close it.</param>
    /// <param name="time">The clock of the service; used only to limit requests for usage.</param>
    public RedisJobQueue(
        IConnectionMultiplexer connection, QueueOptions? options = null, ILogger<RedisJobQueue>? logger = null, TimeProvider? time = null)
    {
        _time = time ?? TimeProvider.System;
        _options = (options ?? new QueueOptions()).Validate();
        _logger = logger ?? NullLogger<RedisJobQueue>.Instance;
        _keys = new RedisKeys(_options.Prefix);
        _commands = new RedisCommandExecutor(connection, _keys);
        _wakeups = new RedisWakeupHub(connection, _keys, _logger);
        Storage = new RedisStorageAccounts(_commands, _keys);
        _eventStream = new RedisEventStream(_commands, _wakeups, _options);
        _leaseLoop = new LeaseWaitLoop(ReapExpiredLeasesAsync, _options.PollInterval, TimeProvider.System);
    }

    /// <inheritdoc/>
    public IStorageAccounts Storage { get; }

    /// <inheritdoc/>
    public async Task<JobInfo> SubmitAsync(JobSubmission submission, CancellationToken cancellationToken = default)
    {
        ThrowIfDisposedOrCancelled(cancellationToken);
        JobRules.Validate(submission);
        using Activity? activity = Telemetry.StartSubmitActivity(submission);
        RedisResult reply = await _commands.ExecuteScriptAsync(
            RedisScript.Submit, submission.JobId, submission.Owner, submission.Model, submission.Program,
            FormatRoundTrip(submission.Cost / submission.Weight), FormatRoundTrip(submission.Weight), FormatRoundTrip(submission.Cost),
            submission.TimeLimit is { } limit ? (RedisValue)(long)limit.TotalMilliseconds : "", Activity.Current?.Id ?? "",
            submission.MaxResultBytes is { } maxBytes ? maxBytes : "",
            submission.Quota?.InFlight ?? RedisValue.EmptyString, submission.Quota?.PerMinute ?? 0,
            submission.Quota?.Waiting ?? 0, submission.Quota?.Depth ?? 0, JobRules.HashProgram(submission.Program), submission.Notice,
            submission.Storage?.Format() ?? "");
        if (reply.Resp2Type != ResultType.Array)
        {
            throw (string?)reply switch
            {
                "REUSED" => QueueErrors.JobIdReused(submission.JobId),
                "CLOSED" => QueueErrors.OwnerClosed(),
                _ => QueueErrors.JobIdTaken(submission.JobId),
            };
        }
        var parts = (RedisResult[])reply!;
        if (parts[0].Resp2Type != ResultType.Array)
            throw RedisStorageAccounts.ReadViolation(reply) ?? QuotaRules.ToException(
                (string)parts[0]!, (long)parts[1], (long)parts[2], (double)parts[3], (double)parts[4] / 1000, (int)parts[5]);
        JobInfo info = RedisJobReader.Read(parts[0]);
        if ((int)parts[1] == 1)
        {
            Telemetry.JobSubmitted(submission.Model);
            Log.JobQueued(_logger, submission.JobId, submission.Model, info.Position);
        }
        return info;
    }

    /// <inheritdoc/>
    public async Task<JobInfo?> FindSubmittedAsync(
        string jobId, string owner, ReadOnlyMemory<byte> program, CancellationToken cancellationToken = default)
    {
        ThrowIfDisposedOrCancelled(cancellationToken);
        RedisValue[] known = await _commands.ExecuteAsync(
            "find", database => database.HashGetAsync(_keys.Job(jobId), ["owner", "hash"]));
        if (known[0] != owner) return null;
        if (!known[1].IsNull && known[1] != JobRules.HashProgram(program)) throw QueueErrors.JobIdReused(jobId);
        return await GetAsync(jobId, cancellationToken);
    }

    /// <inheritdoc/>
    public async Task<JobInfo?> CancelAsync(string jobId, string reason, CancellationToken cancellationToken = default) =>
        (await TryCancelAsync(jobId, "", reason, cancellationToken)).Job;

    /// <inheritdoc/>
    public async Task<JobInfo?> CancelIfUnfollowedAsync(
        string jobId, string follower, string reason, CancellationToken cancellationToken = default) =>
        (await TryCancelAsync(jobId, follower, reason, cancellationToken)).Job;

    /// <param name="follower">Empty to cancel the job whoever follows it.</param>
    /// <returns>The job, null if there is none, and whether this call ended it.</returns>
    private async Task<(JobInfo? Job, bool IsCancelled)> TryCancelAsync(
        string jobId, string follower, string reason, CancellationToken cancellationToken)
    {
        ThrowIfDisposedOrCancelled(cancellationToken);
        RedisResult reply = await _commands.ExecuteScriptAsync(
            RedisScript.Cancel, jobId, QueueErrors.Cancelled(reason).ToByteArray(), follower);
        if (reply.IsNull) return (null, false);
        var parts = (RedisResult[])reply!;
        bool isCancelled = (int)parts[1] == 1;
        if (isCancelled) Log.JobEnded(_logger, jobId, JobState.Cancelled);
        return (RedisJobReader.Read(parts[0]), isCancelled);
    }

    /// <inheritdoc/>
    public async Task FollowAsync(
        IReadOnlyCollection<string> jobIds, string follower, TimeSpan? lifetime, CancellationToken cancellationToken = default)
    {
        foreach (string[] chunk in jobIds.Chunk(256)) // a script blocks Redis while it runs
        {
            ThrowIfDisposedOrCancelled(cancellationToken);
            await _commands.ExecuteScriptAsync(RedisScript.Follow,
                [follower, lifetime is { } span ? ToMilliseconds(span) : "", .. chunk.Select(id => (RedisValue)id)]);
        }
    }

    /// <inheritdoc/>
    public async Task<int> CloseOwnerAsync(string owner, string reason, CancellationToken cancellationToken = default)
    {
        ThrowIfDisposedOrCancelled(cancellationToken);
        // from now on no job is added, so that the list below becomes empty
        await _commands.ExecuteScriptAsync(RedisScript.CloseOwner, owner);
        int cancelled = 0;
        while (await ListAsync(owner, 1000, activeOnly: true, cancellationToken) is { Count: > 0 } jobs)
        {
            foreach (JobInfo job in jobs)
                if ((await TryCancelAsync(job.Id, "", reason, cancellationToken)).IsCancelled) cancelled++;
        }
        return cancelled;
    }

    /// <inheritdoc/>
    public IAsyncEnumerable<Event> WatchAsync(string jobId, ulong fromSequence, CancellationToken cancellationToken = default) =>
        _eventStream.WatchAsync(jobId, fromSequence, cancellationToken);

    /// <inheritdoc/>
    public async Task<bool?> DeleteAsync(string jobId, CancellationToken cancellationToken = default)
    {
        ThrowIfDisposedOrCancelled(cancellationToken);
        RedisResult reply = await _commands.ExecuteScriptAsync(RedisScript.Delete, jobId);
        if (reply.IsNull) return null;
        if ((int)reply != 1) return false;
        Log.JobDeleted(_logger, jobId);
        return true;
    }

    /// <inheritdoc/>
    public async Task<int> PublishPositionsAsync(
        IReadOnlyCollection<string> jobIds, TimeSpan minInterval, IReadOnlyDictionary<string, string>? notices,
        CancellationToken cancellationToken = default)
    {
        int published = 0;
        RedisValue[] pairs =
            [.. (notices ?? new Dictionary<string, string>()).SelectMany(notice => (RedisValue[])[notice.Key, notice.Value])];
        foreach (string[] chunk in jobIds.Chunk(256)) // a script blocks Redis while it runs
        {
            ThrowIfDisposedOrCancelled(cancellationToken);
            published += (int)await _commands.ExecuteScriptAsync(
                RedisScript.PublishPositions,
                [ToMilliseconds(minInterval), pairs.Length / 2, .. pairs, .. chunk.Select(id => (RedisValue)id)]);
        }
        return published;
    }

    /// <inheritdoc/>
    public async Task<int> ReapExpiredLeasesAsync(CancellationToken cancellationToken = default)
    {
        ThrowIfDisposedOrCancelled(cancellationToken);
        var expired = (RedisResult[])(await _commands.ExecuteScriptAsync(
            RedisScript.Reap, _options.MaxAttempts, ToMilliseconds(_options.Retention), ToMilliseconds(_options.LeaseDuration)))!;
        foreach (RedisResult item in expired)
        {
            var parts = (RedisResult[])item!;
            (string id, string model, string worker, int lostLeases, bool isDeadLetter) =
                ((string)parts[0]!, (string)parts[1]!, (string)parts[2]!, (int)parts[3], (int)parts[4] == 1);
            Telemetry.LeaseExpired(model, isDeadLetter);
            if (isDeadLetter) Log.DeadLetter(_logger, id, worker, lostLeases);
            else Log.LeaseExpired(_logger, id, worker, lostLeases);
        }
        return expired.Length;
    }

    /// <inheritdoc/>
    public async Task<JobInfo?> RequeueAsync(string deadJobId, string newJobId, CancellationToken cancellationToken = default)
    {
        ThrowIfDisposedOrCancelled(cancellationToken);
        double? failedAt = await _commands.ExecuteAsync("requeue", database => database.SortedSetScoreAsync(_keys.Dead, deadJobId));
        if (failedAt is null) return null;
        RedisValue[] job = await _commands.ExecuteAsync("requeue", database =>
            database.HashGetAsync(_keys.Job(deadJobId), ["owner", "model", "program", "weight", "cost", "limit", "most", "storage"]));
        if (job[0].IsNull || job[2].IsNull) return null; // deleted concurrently
        JobInfo info = await SubmitAsync(
            new JobSubmission(
                newJobId, job[0]!, job[1]!, (byte[])job[2]!, (double)job[3], (double)job[4],
                job[5].IsNullOrEmpty ? null : TimeSpan.FromMilliseconds((long)job[5]),
                MaxResultBytes: job[6].IsNullOrEmpty ? null : (long)job[6]) { Storage = StorageLimits.Parse(job[7]) },
            cancellationToken);
        await _commands.ExecuteAsync("requeue", database => database.SortedSetRemoveAsync(_keys.Dead, deadJobId));
        Log.Requeued(_logger, deadJobId, newJobId);
        return info;
    }

    /// <inheritdoc/>
    public async Task ReplyAsync(string jobId, LocalReply reply, CancellationToken cancellationToken = default)
    {
        ThrowIfDisposedOrCancelled(cancellationToken);
        RedisResult stored = await _commands.ExecuteScriptAsync(RedisScript.Reply, jobId, reply.Ticket, reply.ToByteArray());
        if (stored.IsNull) throw QueueErrors.UnknownJob(jobId);
        if (RedisStorageAccounts.ReadViolation(stored) is { } violation) throw violation;
    }

    /// <summary>Wakes all waiting calls, which then fail. The connection stays open.</summary>
    public ValueTask DisposeAsync()
    {
        if (_isDisposed) return ValueTask.CompletedTask;
        _isDisposed = true;
        _wakeups.Dispose();
        return _eventStream.DisposeAsync();
    }

    private void ThrowIfDisposedOrCancelled(CancellationToken cancellationToken)
    {
        ObjectDisposedException.ThrowIf(_isDisposed, this);
        cancellationToken.ThrowIfCancellationRequested();
    }

    private static long ToMilliseconds(TimeSpan span) => (long)span.TotalMilliseconds;

    /// <summary>Formats all digits, because both implementations must compute exactly equal tags.</summary>
    private static string FormatRoundTrip(double number) => number.ToString("R", CultureInfo.InvariantCulture);
}
