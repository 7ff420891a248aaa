using Ndif.Protocol;
using Ndif.Queue.Rules;
using StackExchange.Redis;

namespace Ndif.Queue.Redis;

// What is read: jobs, counts, usage, dead letters.
public sealed partial class RedisJobQueue
{
    /// <inheritdoc/>
    public async Task<JobInfo?> GetAsync(string jobId, CancellationToken cancellationToken = default) =>
        await GetJobsAsync([jobId], cancellationToken) is [var job, ..] ? job : null;

    /// <inheritdoc/>
    public async Task<IReadOnlyList<JobInfo>> ListAsync(
        string owner, int limit, bool activeOnly, CancellationToken cancellationToken = default)
    {
        ThrowIfDisposedOrCancelled(cancellationToken);
        if (limit <= 0) return [];
        RedisKey list = (owner.Length > 0, activeOnly) switch
        {
            (true, true) => _keys.Active(owner),
            (true, false) => _keys.Jobs(owner),
            (false, true) => _keys.Unended,
            (false, false) => _keys.All,
        };
        while (true)
        {
            RedisValue[] ids = await _commands.ExecuteAsync(
                "list", database => database.SortedSetRangeByRankAsync(list, 0, limit - 1, Order.Descending));
            IReadOnlyList<JobInfo> jobs = await GetJobsAsync(ids, cancellationToken);
            if (list != _keys.Unended) return jobs;
            // a worker of a version that does not know this set has ended jobs without removing them: an upgrade
            JobInfo[] unended = [.. jobs.Where(job => !job.State.IsTerminal())];
            RedisValue[] stale = [.. ids.Except(unended.Select(job => (RedisValue)job.Id))];
            if (stale.Length == 0) return unended;
            await _commands.ExecuteAsync("list", database => database.SortedSetRemoveAsync(list, stale));
        }
    }

    /// <inheritdoc/>
    public async Task<string?> GetOwnerAsync(string jobId, CancellationToken cancellationToken = default)
    {
        ThrowIfDisposedOrCancelled(cancellationToken);
        return await _commands.ExecuteAsync("owner", database => database.HashGetAsync(_keys.Job(jobId), "owner"));
    }

    /// <inheritdoc/>
    public async Task<IReadOnlyList<UsageRow>> GetUsageAsync(
        string owner, DateOnly since, DateOnly until, CancellationToken cancellationToken = default)
    {
        ThrowIfDisposedOrCancelled(cancellationToken);
        DateOnly today = DateOnly.FromDateTime(_time.GetUtcNow().UtcDateTime), oldest = today.AddDays(-UsageAccounting.RetentionDays);
        if (since < oldest) since = oldest;
        if (until > today.AddDays(1)) until = today.AddDays(1); // the clock of the server may be ahead
        if (until < since) return [];
        RedisResult reply = await _commands.ExecuteScriptAsync(
            RedisScript.Usage, owner, RedisUsageReader.ToDayNumber(since), RedisUsageReader.ToDayNumber(until));
        return UsageAccounting.Sort(RedisUsageReader.Read(reply));
    }

    /// <inheritdoc/>
    public async Task<QueueCounts> CountAsync(CancellationToken cancellationToken = default)
    {
        ThrowIfDisposedOrCancelled(cancellationToken);
        var counts = (RedisResult[])(await _commands.ExecuteScriptAsync(RedisScript.CountJobs))!;
        Dictionary<string, (int Waiting, int Running)> byModel = counts.Skip(4).Chunk(3)
            .ToDictionary(m => (string)m[0]!, m => ((int)m[1], (int)m[2]));
        return new QueueCounts(
            byModel.Values.Sum(m => m.Waiting), byModel.Values.Sum(m => m.Running), (long)counts[0], (long)counts[1], byModel)
        {
            Cancelled = (long)counts[2], TimedOut = (long)counts[3],
        };
    }

    /// <inheritdoc/>
    public async Task<IReadOnlyList<DeadLetter>> ListDeadLettersAsync(int limit, CancellationToken cancellationToken = default)
    {
        ThrowIfDisposedOrCancelled(cancellationToken);
        if (limit <= 0) return [];
        RedisValue[] ids = await _commands.ExecuteAsync(
            "dead letters", database => database.SortedSetRangeByRankAsync(_keys.Dead, 0, limit - 1, Order.Descending));
        return [.. (await GetJobsAsync(ids, cancellationToken)).Select(job => new DeadLetter
        {
            JobId = job.Id,
            Reason = job.Error.Message,
            Attempts = job.Attempt,
            Time = job.Ended,
            Model = job.Model.GetName(),
        })];
    }

    private async Task<IReadOnlyList<JobInfo>> GetJobsAsync(RedisValue[] ids, CancellationToken cancellationToken)
    {
        ThrowIfDisposedOrCancelled(cancellationToken);
        List<JobInfo> jobs = [];
        foreach (RedisValue[] chunk in ids.Chunk(64)) // a script blocks Redis while it runs
            jobs.AddRange(((RedisResult[])(await _commands.ExecuteScriptAsync(RedisScript.GetJobs, chunk))!).Select(RedisJobReader.Read));
        return jobs;
    }
}
