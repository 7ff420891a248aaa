using System.Collections.Concurrent;
using Ndif.Server.Keys;

namespace Ndif.Server.Hosting;

/// <summary>
/// Bounds the requests that are open at a time, streams included: those of each key, streams that need no key, and requests whose key is
/// being checked. Each takes memory until it ends, and each stream that follows a job reads the queue. The counts are those of one
/// gateway.
/// </summary>
internal sealed class OpenRequestLimiter(GatewayOptions options) : IDisposable
{
    public const int MaxWithoutKey = 256;

    private const int MaxChecks = 256, MaxWaitingChecks = 16_384;

    /// <summary>A key may have several requests for each of its jobs: its stream, its position, downloads of its results.</summary>
    private const int RequestsPerJob = 4, MinRequests = 64;

    private readonly ConcurrentDictionary<string, Counter> _byKey = new(StringComparer.Ordinal);
    private readonly Counter _withoutKey = new(), _waitingChecks = new();
    private readonly SemaphoreSlim _checks = new(MaxChecks);

    /// <summary>Counts a request as open until the returned object is disposed.</summary>
    /// <param name="caller">Null for a stream that needs no key.</param>
    /// <exception cref="Protocol.NdifException">QUOTA_EXCEEDED: the key has too many. UNAVAILABLE: there are too many without one.
    /// </exception>
    public IDisposable Enter(Caller? caller)
    {
        if (caller is null) return _withoutKey.TryAdd(MaxWithoutKey) ?? throw ServerErrors.TooManyWithoutKey();
        int limit = GetLimit(caller.Tier);
        return _byKey.GetOrAdd(caller.Id, _ => new Counter()).TryAdd(limit) ?? throw ServerErrors.TooManyOpenRequests(limit);
    }

    /// <summary>
    /// Waits until the key of a request may be checked, in the order of arrival, so that a burst of one client delays the others and
    /// refuses none. Dispose the result after the check.
    /// </summary>
    /// <exception cref="Protocol.NdifException">UNAVAILABLE: too many wait, or for too long.</exception>
    public async Task<IDisposable> EnterCheckAsync(CancellationToken cancellationToken)
    {
        using IDisposable waiting = _waitingChecks.TryAdd(MaxWaitingChecks) ?? throw ServerErrors.TooManyWithoutKey();
        if (!await _checks.WaitAsync(options.RequestTimeout, cancellationToken)) throw ServerErrors.TooManyWithoutKey();
        return new Check(_checks);
    }

    public void Dispose() => _checks.Dispose();

    private int GetLimit(string tier) =>
        (int)Math.Clamp((long)options.GetTier(tier).JobsInFlight * RequestsPerJob, MinRequests, int.MaxValue);

    private sealed class Counter
    {
        private int _count;

        /// <summary>Counts one more; null if there are as many as the limit.</summary>
        public Entry? TryAdd(int limit)
        {
            if (Interlocked.Increment(ref _count) <= limit) return new Entry(this);
            Remove();
            return null;
        }

        public void Remove() => Interlocked.Decrement(ref _count);
    }

    private sealed class Check(SemaphoreSlim checks) : IDisposable
    {
        public void Dispose() => checks.Release();
    }

    private sealed class Entry(Counter counter) : IDisposable
    {
        public void Dispose() => counter.Remove();
    }
}
