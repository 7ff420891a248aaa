using System.Collections.Concurrent;
using Microsoft.Extensions.Logging;
using Ndif.Protocol;
using Ndif.Queue;
using Ndif.Server.Hosting;

namespace Ndif.Server.Grpc;

/// <summary>
/// Notes in the queue which jobs the clients of this gateway follow. A client that lost its connection may return, with the same job id,
/// to this or another gateway, before the old connection is found dead; and several clients may follow one job. The end of one stream must
/// not cancel the job for the others. The note expires with this gateway, unless it is renewed.
/// </summary>
internal sealed class RunStreamTracker(IJobQueue jobs, TimeProvider time, ILogger<RunStreamTracker> logger)
    : PeriodicBackgroundService("renewal of followed jobs", _renewalInterval, time, logger)
{
    /// <summary>The follower of a job that goes on without a client.</summary>
    private const string Detached = "detached";

    private static readonly TimeSpan _renewalInterval = TimeSpan.FromSeconds(5), _lifetime = TimeSpan.FromMinutes(1);

    private readonly string _follower = $"{Environment.MachineName}-{Environment.ProcessId}-{Guid.NewGuid():n}";
    private readonly JobReferenceCounts _streams = new();
    private readonly ConcurrentDictionary<string, string> _postponedCancels = new(StringComparer.Ordinal); // job id, reason
    private readonly SemaphoreSlim[] _locks = [.. Enumerable.Range(0, 64).Select(_ => new SemaphoreSlim(1))]; // by the hash of the job id

    /// <summary>
    /// Counts a stream that follows a job. The stream must not begin before the queue has noted it: its client would rely on it and drop
    /// another one, and that gateway would cancel the job.
    /// </summary>
    /// <exception cref="NdifException">UNAVAILABLE: the queue cannot be reached. The stream does not count, and its client tries again.
    /// </exception>
    public Task AddAsync(string jobId) => WithLockAsync(jobId, async () =>
    {
        _streams.Add(jobId);
        _postponedCancels.TryRemove(jobId, out _);
        try
        {
            await jobs.FollowAsync([jobId], _follower, _lifetime);
        }
        catch
        {
            _streams.Remove(jobId);
            throw;
        }
    });

    /// <summary>Lets a job go on when no client follows it.</summary>
    public Task DetachAsync(string jobId) => jobs.FollowAsync([jobId], Detached, null);

    /// <summary>Counts a stream as ended, without consequences for the job.</summary>
    public Task RemoveAsync(string jobId) => WithLockAsync(jobId, async () =>
    {
        if (!_streams.Remove(jobId)) return;
        try
        {
            await jobs.FollowAsync([jobId], _follower, TimeSpan.Zero);
        }
        catch (NdifException e) when (e.Retryable)
        {
            // the note expires
        }
    });

    /// <summary>
    /// Counts a stream as ended because its client has gone, and cancels the job if no other client follows it at any gateway. If the queue
    /// cannot be reached, that is done later.
    /// </summary>
    public Task LeaveAsync(string jobId, string reason) => WithLockAsync(jobId, async () =>
    {
        if (_streams.Remove(jobId)) await CancelIfUnfollowedAsync(jobId, reason);
    });

    protected override async Task ExecuteOnceAsync(CancellationToken cancellationToken)
    {
        foreach ((string jobId, string reason) in _postponedCancels)
        {
            await WithLockAsync(jobId, async () =>
            {
                if (_postponedCancels.TryRemove(jobId, out _)) await CancelIfUnfollowedAsync(jobId, reason);
            });
        }
        if (_streams.JobIds is { Count: > 0 } followed) await jobs.FollowAsync(followed, _follower, _lifetime, cancellationToken);
    }

    public override void Dispose()
    {
        foreach (SemaphoreSlim each in _locks) each.Dispose();
        base.Dispose();
    }

    private async Task CancelIfUnfollowedAsync(string jobId, string reason)
    {
        try
        {
            if (await jobs.CancelIfUnfollowedAsync(jobId, _follower, reason) is { State: JobState.Cancelled })
                logger.Cancelling(jobId, reason);
        }
        catch (NdifException e) when (e.Retryable)
        {
            _postponedCancels[jobId] = reason;
            logger.CancelPostponed(jobId, e.Message);
        }
    }

    /// <summary>A stream that begins and one that ends must reach the queue in their order.</summary>
    private async Task WithLockAsync(string jobId, Func<Task> action)
    {
        SemaphoreSlim own = _locks[(uint)jobId.GetHashCode(StringComparison.Ordinal) % _locks.Length];
        await own.WaitAsync();
        try
        {
            await action();
        }
        finally
        {
            own.Release();
        }
    }
}
