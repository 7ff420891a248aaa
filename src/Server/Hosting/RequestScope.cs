namespace Ndif.Server.Hosting;

/// <summary>
/// What one request of a key uses of the gateway: a place among the requests whose message is being received, and memory for the decoded
/// message. Both are given back when the program is queued or the request ends, whichever is first.
/// </summary>
internal sealed class RequestScope(DecodingLimiter limiter, string owner, int maxMessageBytes) : IDisposable
{
    private static readonly AsyncLocal<RequestScope?> _current = new();
    private long _reserved;
    private int _hasPlace;

    /// <summary>The scope of the request that is being handled; null for requests without a limit.</summary>
    public static RequestScope? Current
    {
        get => _current.Value;
        set => _current.Value = value;
    }

    public int MaxMessageBytes { get; } = maxMessageBytes;

    /// <summary>The bytes of the messages that were received.</summary>
    public long ReceivedBytes { get; private set; }

    public async Task EnterAsync(CancellationToken cancellationToken)
    {
        await limiter.EnterAsync(owner, cancellationToken);
        _hasPlace = 1;
    }

    /// <summary>The message is complete, so that another one may be received.</summary>
    public void OnMessageReceived(int bytes)
    {
        ReceivedBytes += bytes;
        if (Interlocked.Exchange(ref _hasPlace, 0) == 1) limiter.Leave(owner);
    }

    /// <summary>Reserves the memory of a decoded message.</summary>
    /// <exception cref="Protocol.NdifException">UNAVAILABLE: other messages need the memory at the moment.</exception>
    public void Reserve(long bytes)
    {
        limiter.Reserve(owner, bytes);
        Interlocked.Add(ref _reserved, bytes);
    }

    /// <summary>Gives back the memory of the decoded message.</summary>
    public void Release()
    {
        if (Interlocked.Exchange(ref _reserved, 0) is > 0 and long bytes) limiter.Release(owner, bytes);
    }

    public void Dispose()
    {
        if (Interlocked.Exchange(ref _hasPlace, 0) == 1) limiter.Leave(owner);
        Release();
    }
}
