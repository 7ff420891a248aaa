using System.Diagnostics;
using System.Globalization;
using Google.Protobuf;
using Google.Protobuf.WellKnownTypes;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Ndif.Protocol;
using StackExchange.Redis;

namespace Ndif.Queue;

/// <summary>
/// The queue of a cluster. Redis holds everything; each step is one atomic script (Scripts/*.lua), so any process may die between
/// any two of them.
/// <code>
///   gateway                         Redis                                  worker
///   (1) submit ──────> waiting:{model}, events:{job} ──── work ────> (2) lease: leased, token, deadline
///                                                                    (3) renew, every third of the lease
///   (6) watch  &lt;── news ────── events:{job} &lt;──────────────────────── (4) publish, while the token holds
///   (7) cancel ──────────> token removed ──────── lost ────────────> Lease.Lost
///                      (8) reap, by anybody                          (5) publish the end state
/// </code>
/// 1. Submit gives the job its tag in virtual time (Memory/FairShare.cs says how) and a place in its model's line.
/// 2. Lease moves the first of the line to the leased ones, with a deadline and a token that grows with every lease.
/// 3. Renew moves the deadline. Who cannot renew has lost the job.
/// 4. Publish checks the token, numbers the event and appends it: one script, so a worker that lost its job publishes nothing.
/// 5. An end state removes the token in the same script: a job has one outcome.
/// 6. Watch reads the stream from any number on. Messages only wake it up, so a lost one costs a moment and no event.
/// 7. Cancel ends the job first; the worker hears of it at once, and at its next renewal or event at the latest.
/// 8. Reap finds deadlines that have passed: back to the front of the line, or after some deaths to the dead letters.
/// </summary>
public sealed class RedisJobQueue : IJobQueue
{
    private readonly QueueOptions options;
    private readonly ILogger logger;
    private readonly RedisKeys keys;
    private readonly RedisCalls calls;
    private readonly RedisBells bells;
    private readonly RedisLeases leases = new();
    private readonly RedisEventStream stream;
    private readonly LeaseLoop loop;
    private volatile bool closed;

    /// <param name="connection">Shared, and not closed with the queue.</param>
    public RedisJobQueue(IConnectionMultiplexer connection, QueueOptions? options = null, ILogger<RedisJobQueue>? logger = null)
    {
        this.options = (options ?? new QueueOptions()).Validate();
        this.logger = logger ?? NullLogger<RedisJobQueue>.Instance;
        keys = new RedisKeys(this.options.Prefix);
        calls = new RedisCalls(connection, keys);
        bells = new RedisBells(connection, keys, this.logger);
        stream = new RedisEventStream(calls, bells, this.options);
        loop = new LeaseLoop(ReapAsync, this.options.SafetyPoll, TimeProvider.System);
    }

    /// <inheritdoc/>
    public async Task<JobInfo> SubmitAsync(JobSubmission submission, CancellationToken cancellationToken = default)
    {
        Enter(cancellationToken);
        JobRules.Check(submission);
        using Activity? activity = Telemetry.Submitting(submission);
        RedisResult reply = await calls.RunAsync(
            RedisScript.Submit, submission.JobId, submission.Owner, submission.Model, submission.Program,
            Exactly(submission.Cost / submission.Weight), Exactly(submission.Weight), Exactly(submission.Cost),
            submission.TimeLimit is { } limit ? (RedisValue)(long)limit.TotalMilliseconds : "", Activity.Current?.Id ?? "",
            submission.ResultBytes is { } most ? most : "", submission.Quota?.InFlight ?? RedisValue.EmptyString, submission.Quota?.PerMinute ?? 0,
            submission.Quota?.Waiting ?? 0, submission.Quota?.Depth ?? 0);
        if (reply.Resp2Type != ResultType.Array) throw QueueErrors.OtherOwner(submission.JobId);
        var parts = (RedisResult[])reply!;
        if (parts[0].Resp2Type != ResultType.Array)
            throw QuotaRules.Refusal((string)parts[0]!, (long)parts[1], (long)parts[2], (double)parts[3], (double)parts[4] / 1000, (int)parts[5]);
        JobInfo info = JobRow.Read(parts[0]);
        if ((int)parts[1] == 1)
        {
            Telemetry.JobSubmitted(submission.Model);
            Log.JobQueued(logger, submission.JobId, submission.Model, info.Position);
        }
        return info;
    }

    /// <inheritdoc/>
    public async Task<Lease?> LeaseAsync(string worker, IReadOnlyCollection<string> models, TimeSpan wait, CancellationToken cancellationToken = default)
    {
        Enter(cancellationToken);
        await bells.SubscribeAsync("lost", message => leases.Lose(long.Parse(message.AsSpan(message.IndexOf(' ', StringComparison.Ordinal) + 1), CultureInfo.InvariantCulture)));
        using Bell bell = await bells.ListenAsync("work", models);
        return await loop.WaitAsync(bell, () => TakeAsync(worker, models), wait, cancellationToken);
    }

    /// <inheritdoc/>
    public async Task<bool> RenewAsync(Lease lease, CancellationToken cancellationToken = default)
    {
        Enter(cancellationToken);
        bool holds = (int)await calls.RunAsync(RedisScript.Renew, lease.JobId, lease.Token, Milliseconds(options.LeaseDuration)) == 1;
        if (!holds) leases.Lose(lease.Token);
        return holds;
    }

    /// <inheritdoc/>
    public async Task<bool> PublishAsync(Lease lease, Event happening, CancellationToken cancellationToken = default)
    {
        Enter(cancellationToken);
        Event stamped = JobRules.Stamp(lease, happening);
        StateChanged? state = stamped.State;
        Charge charge = Charge.Of(state?.Usage);
        bool published = (int)await calls.RunAsync(
            RedisScript.Publish, lease.JobId, lease.Token, stamped.ToByteArray(), Guid.NewGuid().ToByteArray(),
            state is null ? "" : (int)state.State, Bytes(state?.Error), Bytes(state?.Usage),
            charge.Tokens, charge.Passes, charge.ComputeMilliseconds, charge.ResultBytes) == 1;
        if (!published)
        {
            leases.Lose(lease.Token);
            Telemetry.EventFenced(lease.Model);
            Log.EventFenced(logger, lease.JobId, lease.Worker, lease.Token);
        }
        else if (state is not null && JobRules.IsEnd(state.State))
        {
            leases.Release(lease);
            Telemetry.Charged(lease.Model, charge);
            Log.JobEnded(logger, lease.JobId, state.State);
        }
        return published;
    }

    /// <inheritdoc/>
    public async Task ReturnAsync(Lease lease, CancellationToken cancellationToken = default)
    {
        Enter(cancellationToken);
        leases.Release(lease);
        if ((int)await calls.RunAsync(RedisScript.Return, lease.JobId, lease.Token) == 1) Log.JobReturned(logger, lease.JobId, lease.Worker);
    }

    /// <inheritdoc/>
    public async Task<JobInfo?> CancelAsync(string jobId, string reason, CancellationToken cancellationToken = default)
    {
        Enter(cancellationToken);
        RedisResult reply = await calls.RunAsync(RedisScript.Cancel, jobId, QueueErrors.Cancelled(reason).ToByteArray());
        if (reply.IsNull) return null;
        var parts = (RedisResult[])reply!;
        if ((int)parts[1] == 1) Log.JobEnded(logger, jobId, JobState.Cancelled);
        return JobRow.Read(parts[0]);
    }

    /// <inheritdoc/>
    public async Task<JobInfo?> GetAsync(string jobId, CancellationToken cancellationToken = default) =>
        await LookAsync([jobId], cancellationToken) is [var job, ..] ? job : null;

    /// <inheritdoc/>
    public async Task<IReadOnlyList<JobInfo>> ListAsync(string owner, int limit, bool activeOnly, CancellationToken cancellationToken = default)
    {
        Enter(cancellationToken);
        if (limit <= 0) return [];
        RedisValue[] ids = await calls.CallAsync("list", database =>
            database.SortedSetRangeByRankAsync(activeOnly ? keys.Active(owner) : keys.Jobs(owner), 0, limit - 1, Order.Descending));
        return await LookAsync(ids, cancellationToken);
    }

    /// <inheritdoc/>
    public async Task<string?> OwnerAsync(string jobId, CancellationToken cancellationToken = default)
    {
        Enter(cancellationToken);
        return await calls.CallAsync("owner", database => database.HashGetAsync(keys.Job(jobId), "owner"));
    }

    /// <inheritdoc/>
    public IAsyncEnumerable<Event> WatchAsync(string jobId, ulong fromSequence, CancellationToken cancellationToken = default) =>
        stream.WatchAsync(jobId, fromSequence, cancellationToken);

    /// <inheritdoc/>
    public async Task<bool?> DeleteAsync(string jobId, CancellationToken cancellationToken = default)
    {
        Enter(cancellationToken);
        RedisResult reply = await calls.RunAsync(RedisScript.Delete, jobId);
        if (reply.IsNull) return null;
        if ((int)reply != 1) return false;
        Log.JobDeleted(logger, jobId);
        return true;
    }

    /// <inheritdoc/>
    public async Task<IReadOnlyList<UsageRow>> UsageAsync(string owner, DateOnly since, DateOnly until, CancellationToken cancellationToken = default)
    {
        Enter(cancellationToken);
        DateOnly today = DateOnly.FromDateTime(DateTime.UtcNow), oldest = today.AddDays(-Accounts.KeptDays);
        if (since < oldest) since = oldest;
        if (until > today.AddDays(1)) until = today.AddDays(1); // the server's clock may be ahead
        if (until < since) return [];
        return Accounts.InOrder(AccountRow.Read(await calls.RunAsync(RedisScript.Usage, owner, AccountRow.Number(since), AccountRow.Number(until))));
    }

    /// <inheritdoc/>
    public async Task<int> TellPositionsAsync(IReadOnlyCollection<string> jobIds, TimeSpan notWithin, CancellationToken cancellationToken = default)
    {
        int told = 0;
        foreach (string[] some in jobIds.Chunk(256)) // Redis does nothing else meanwhile
        {
            Enter(cancellationToken);
            told += (int)await calls.RunAsync(RedisScript.Tell, [Milliseconds(notWithin), .. some.Select(id => (RedisValue)id)]);
        }
        return told;
    }

    /// <inheritdoc/>
    public async Task<QueueCounts> CountAsync(CancellationToken cancellationToken = default)
    {
        Enter(cancellationToken);
        var counts = (RedisResult[])(await calls.RunAsync(RedisScript.Count))!;
        Dictionary<string, (int Waiting, int Running)> byModel = counts.Skip(2).Chunk(3)
            .ToDictionary(m => (string)m[0]!, m => ((int)m[1], (int)m[2]));
        return new QueueCounts(byModel.Values.Sum(m => m.Waiting), byModel.Values.Sum(m => m.Running), (long)counts[0], (long)counts[1], byModel);
    }

    /// <inheritdoc/>
    public async Task<int> ReapAsync(CancellationToken cancellationToken = default)
    {
        Enter(cancellationToken);
        var expired = (RedisResult[])(await calls.RunAsync(RedisScript.Reap, options.MaxAttempts, Milliseconds(options.Retention), Milliseconds(options.LeaseDuration)))!;
        foreach (RedisResult one in expired)
        {
            var parts = (RedisResult[])one!;
            (string id, string model, string worker, int deaths, bool dead) =
                ((string)parts[0]!, (string)parts[1]!, (string)parts[2]!, (int)parts[3], (int)parts[4] == 1);
            Telemetry.LeaseExpired(model, dead);
            if (dead) Log.DeadLetter(logger, id, worker, deaths);
            else Log.LeaseExpired(logger, id, worker, deaths);
        }
        return expired.Length;
    }

    /// <inheritdoc/>
    public async Task<IReadOnlyList<DeadLetter>> DeadLettersAsync(int limit, CancellationToken cancellationToken = default)
    {
        Enter(cancellationToken);
        if (limit <= 0) return [];
        RedisValue[] ids = await calls.CallAsync("dead letters", database => database.SortedSetRangeByRankAsync(keys.Dead, 0, limit - 1, Order.Descending));
        return [.. (await LookAsync(ids, cancellationToken)).Select(job => new DeadLetter
        {
            JobId = job.Id,
            Reason = job.Error.Message,
            Attempts = job.Attempt,
            Time = job.Ended,
            Model = job.Model.Revision.Length > 0 ? $"{job.Model.Id}@{job.Model.Revision}" : job.Model.Id,
        })];
    }

    /// <inheritdoc/>
    public async Task<JobInfo?> RequeueAsync(string deadJobId, string newJobId, CancellationToken cancellationToken = default)
    {
        Enter(cancellationToken);
        double? died = await calls.CallAsync("requeue", database => database.SortedSetScoreAsync(keys.Dead, deadJobId));
        if (died is null) return null;
        RedisValue[] job = await calls.CallAsync("requeue", database =>
            database.HashGetAsync(keys.Job(deadJobId), ["owner", "model", "program", "weight", "cost", "limit", "most"]));
        if (job[0].IsNull || job[2].IsNull) return null; // forgotten this moment
        JobInfo info = await SubmitAsync(
            new JobSubmission(
                newJobId, job[0]!, job[1]!, (byte[])job[2]!, (double)job[3], (double)job[4],
                job[5].IsNullOrEmpty ? null : TimeSpan.FromMilliseconds((long)job[5]), ResultBytes: job[6].IsNullOrEmpty ? null : (long)job[6]),
            cancellationToken);
        await calls.CallAsync("requeue", database => database.SortedSetRemoveAsync(keys.Dead, deadJobId));
        Log.Requeued(logger, deadJobId, newJobId);
        return info;
    }

    /// <inheritdoc/>
    public async Task ReplyAsync(string jobId, LocalReply reply, CancellationToken cancellationToken = default)
    {
        Enter(cancellationToken);
        if ((await calls.RunAsync(RedisScript.Reply, jobId, reply.Ticket, reply.ToByteArray())).IsNull) throw QueueErrors.UnknownJob(jobId);
    }

    /// <inheritdoc/>
    public async Task<LocalReply?> AwaitReplyAsync(Lease lease, ulong ticket, TimeSpan timeout, CancellationToken cancellationToken = default)
    {
        Enter(cancellationToken);
        using Bell bell = await bells.ListenAsync("replied", $"{lease.JobId} {ticket}");
        using CancellationTokenRegistration lost = lease.Lost.Register(bell.Ring);
        long began = TimeProvider.System.GetTimestamp();
        while (true)
        {
            RedisResult reply = await calls.RunAsync(RedisScript.TakeReply, lease.JobId, lease.Token, ticket);
            if (reply.Resp2Type == ResultType.BulkString) return LocalReply.Parser.ParseFrom((byte[])reply!);
            TimeSpan left = timeout - TimeProvider.System.GetElapsedTime(began);
            if ((int)reply < 0 || left <= TimeSpan.Zero) return null;
            await bell.WaitAsync(left < options.SafetyPoll ? left : options.SafetyPoll, TimeProvider.System, cancellationToken);
        }
    }

    /// <summary>Ends what waits here. The connection stays open.</summary>
    public ValueTask DisposeAsync()
    {
        if (closed) return ValueTask.CompletedTask;
        closed = true;
        bells.Dispose();
        return ValueTask.CompletedTask;
    }

    private async Task<Lease?> TakeAsync(string worker, IReadOnlyCollection<string> models)
    {
        ObjectDisposedException.ThrowIf(closed, this);
        RedisResult granted = await calls.RunAsync(
            RedisScript.Lease, [worker, Milliseconds(options.LeaseDuration), Guid.NewGuid().ToByteArray(), .. models.Select(m => (RedisValue)m)]);
        if (granted.IsNull) return null;
        var parts = (RedisResult[])granted!;
        Lease lease = leases.Hold(parts, worker);
        Telemetry.JobLeased(lease, DateTimeOffset.FromUnixTimeMilliseconds((long)parts[9]));
        Log.JobLeased(logger, lease.JobId, worker, lease.Attempt, lease.Token);
        return lease;
    }

    private async Task<IReadOnlyList<JobInfo>> LookAsync(RedisValue[] ids, CancellationToken cancellationToken)
    {
        Enter(cancellationToken);
        if (ids.Length == 0) return [];
        return [.. ((RedisResult[])(await calls.RunAsync(RedisScript.Look, ids))!).Select(JobRow.Read)];
    }

    private void Enter(CancellationToken cancellationToken)
    {
        ObjectDisposedException.ThrowIf(closed, this);
        cancellationToken.ThrowIfCancellationRequested();
    }

    private static RedisValue Bytes(IMessage? message) => message is null ? "" : message.ToByteArray();

    private static long Milliseconds(TimeSpan span) => (long)span.TotalMilliseconds;

    /// <summary>All digits: both implementations compare tags to the last bit.</summary>
    private static string Exactly(double number) => number.ToString("R", CultureInfo.InvariantCulture);
}
