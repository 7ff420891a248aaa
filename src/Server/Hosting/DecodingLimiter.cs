using System.Collections.Concurrent;

namespace Ndif.Server.Hosting;

/// <summary>
/// Bounds the requests whose messages are received and decoded at a time, per key and over all keys, so that the memory of a gateway does
/// not depend on how many clients send how much.
/// </summary>
internal sealed class DecodingLimiter : IDisposable
{
    private const int PlacesOfKey = 16;
    private const long MinMemory = 32L << 20, MaxMemory = 2L << 30;

    private readonly ConcurrentDictionary<string, KeyState> _keys = new(StringComparer.Ordinal);
    private readonly SemaphoreSlim _places;
    private readonly TimeSpan _timeout;
    private readonly long _memory;
    private long _reserved;

    /// <param name="availableMemory">The memory of the process; null for what the garbage collector may use.</param>
    public DecodingLimiter(GatewayOptions options, long? availableMemory = null)
    {
        long available = availableMemory ?? GC.GetGCMemoryInfo().TotalAvailableMemoryBytes;
        _timeout = options.RequestTimeout;
        _memory = Math.Clamp(available / 4, MinMemory, MaxMemory);
        _places = new SemaphoreSlim((int)Math.Clamp(available / 8 / options.MessageBytes, PlacesOfKey, 1024));
    }

    /// <summary>Waits for a place among the requests of the key, and then among all.</summary>
    /// <exception cref="Protocol.NdifException">UNAVAILABLE: no place was free in time.</exception>
    public async Task EnterAsync(string owner, CancellationToken cancellationToken)
    {
        KeyState key = _keys.GetOrAdd(owner, _ => new KeyState());
        if (!await key.Places.WaitAsync(_timeout, cancellationToken)) throw ServerErrors.TooManyRequestsOfKey(PlacesOfKey);
        try
        {
            if (await _places.WaitAsync(_timeout, cancellationToken)) return;
        }
        catch
        {
            key.Places.Release();
            throw;
        }
        key.Places.Release();
        throw ServerErrors.GatewayBusy();
    }

    public void Leave(string owner)
    {
        _places.Release();
        _keys[owner].Places.Release();
    }

    /// <summary>Reserves memory. One key has at most half of it, unless nothing else is reserved.</summary>
    /// <exception cref="Protocol.NdifException">UNAVAILABLE: the memory is reserved for other messages at the moment.</exception>
    public void Reserve(string owner, long bytes)
    {
        KeyState key = _keys.GetOrAdd(owner, _ => new KeyState());
        long all = Interlocked.Add(ref _reserved, bytes), own = Interlocked.Add(ref key.Reserved, bytes);
        if (all <= _memory && own <= _memory / 2 || all == bytes) return;
        Release(owner, bytes);
        throw ServerErrors.GatewayBusy();
    }

    public void Release(string owner, long bytes)
    {
        Interlocked.Add(ref _keys[owner].Reserved, -bytes);
        Interlocked.Add(ref _reserved, -bytes);
    }

    public void Dispose()
    {
        foreach (KeyState key in _keys.Values) key.Dispose();
        _places.Dispose();
    }

    private sealed class KeyState : IDisposable
    {
        public readonly SemaphoreSlim Places = new(PlacesOfKey);
        public long Reserved;

        public void Dispose() => Places.Dispose();
    }
}
