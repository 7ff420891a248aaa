using Ndif.Protocol;

namespace Ndif.Engine.Scheduling;

/// <summary>The memory for the keys and values of traces that generate, for which they wait before they begin.</summary>
internal sealed partial class ModelScheduler
{
    /// <summary>The keys and values, and the states, of the rows of a trace that generates.</summary>
    private long CacheBytes(ScheduledJob job) => maxCacheBytes < long.MaxValue && job.Prepared is { CacheCapacity: > 0 and var tokens }
        ? tokens * model.CacheBytesPerToken + job.Prepared.RowCount * model.CacheBytesPerRow : 0;

    /// <exception cref="NdifException">OUT_OF_MEMORY: a trace needs more than an owner may have.</exception>
    private void RequireCacheMemory(ScheduledJob job)
    {
        if (CacheBytes(job) is var bytes && new OwnerMemory(maxCacheBytes).MostOfOwner is var most && bytes > most)
            throw Errors.CreateException(ErrorCode.OutOfMemory,
                $"The keys and values of this generation take up to {bytes:N0} bytes. The model has {maxCacheBytes:N0} for them, of which "
                + $"an owner may have {most:N0}.",
                "Generate fewer tokens or fewer rows, or split the job.");
    }

    /// <summary>
    /// The memory of the cache: what the traces that have begun take of it, and the owners whose traces wait for it, in the order in which
    /// they are served.
    /// </summary>
    private OwnerMemory NewCacheMemory()
    {
        var cache = new OwnerMemory(maxCacheBytes);
        foreach (ScheduledJob job in _jobs.Where(job => job.HasStarted)) cache.Add(job.Run.Owner, CacheBytes(job));
        foreach (ScheduledJob job in _waiting.Concat(_exclusive).OrderBy(job => _shares.ServiceOf(job.Run.Owner)))
            if (CacheBytes(job) is > 0 and var bytes && !cache.IsWaiting(job.Run.Owner))
                cache.BeginWait(job.Run.Owner, bytes, atOnce: true);
        return cache;
    }

    /// <summary>Whether there is memory for a trace that shares no pass, and for those of its owner that have waited for longer.</summary>
    private bool HasCacheMemory(OwnerMemory cache, ScheduledJob job) => CacheBytes(job) == 0
        || _exclusive.TakeWhile(other => other != job).Append(job).Where(other => other.Run.Owner == job.Run.Owner)
            .All(other => CacheBytes(other) is var bytes && (bytes == 0 || cache.Fits(other.Run.Owner, bytes)));
}
