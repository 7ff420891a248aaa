using System.Collections.Concurrent;

namespace Ndif.Server.Hosting;

/// <summary>
/// Bounds the requests whose messages are received, decoded and checked at a time, and the memory of these messages, of completions and of
/// uploads, per key and over all keys, so that neither the memory of a gateway nor the time of other keys depends on how many clients send
/// or ask for how much.
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
        MaxRequestMemory = Math.Max(_memory, available / 2);
        _places = new SemaphoreSlim((int)Math.Clamp(available / 8 / options.MessageBytes, PlacesOfKey, 1024));
    }

    /// <summary>What one request may have while no other has anything, in bytes: the rest is for the gateway itself.</summary>
    public long MaxRequestMemory { get; }

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

    /// <summary>Waits until no other request of the key has the turn.</summary>
    public Task TakeTurnAsync(string owner, CancellationToken cancellationToken) =>
        _keys.GetOrAdd(owner, _ => new KeyState()).Turn.WaitAsync(cancellationToken);

    public void LeaveTurn(string owner) => _keys[owner].Turn.Release();

    public void Leave(string owner)
    {
        _places.Release();
        _keys[owner].Places.Release();
    }

    /// <summary>
    /// Reserves memory. One key has at most half of it, unless no other request has any. Returns false if it is reserved for other requests
    /// at the moment.
    /// </summary>
    /// <param name="isOverShare">Whether the other requests are of the same key.</param>
    /// <param name="held">What the request has reserved before.</param>
    public bool TryReserve(string owner, long bytes, out bool isOverShare, long held = 0)
    {
        KeyState key = _keys.GetOrAdd(owner, _ => new KeyState());
        long all = Interlocked.Add(ref _reserved, bytes), own = Interlocked.Add(ref key.Reserved, bytes);
        isOverShare = own > _memory / 2 && own > held + bytes;
        if (all <= _memory && own <= _memory / 2 || all == held + bytes) return true;
        Release(owner, bytes);
        return false;
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
        public readonly SemaphoreSlim Places = new(PlacesOfKey), Turn = new(1);
        public long Reserved;

        public void Dispose()
        {
            Places.Dispose();
            Turn.Dispose();
        }
    }
}
