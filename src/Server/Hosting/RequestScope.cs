namespace Ndif.Server.Hosting;

/// <summary>
/// What one request of a key uses of the gateway: a place among the requests whose message is being received, memory for the decoded
/// message, and a turn if it takes long. These are given back when the program is queued or the request ends, whichever is first; on a
/// stream also when each further message has been handled. What a request has beside its message, such as the choices of a completion or
/// the buffer of an upload, is reserved until it ends (<see cref="ReserveUntilEnd"/>).
/// </summary>
internal sealed class RequestScope(DecodingLimiter limiter, string owner, int maxMessageBytes) : IDisposable
{
    /// <summary>Smaller messages are checked without a turn: that takes less than a millisecond.</summary>
    private const int LargeMessageBytes = 64 << 10;

    private static readonly AsyncLocal<RequestScope?> _current = new();
    private long _reservedForMessages, _reservedUntilEnd;
    private int _hasPlace, _hasTurn;
    private bool _isReleased;
    private Action? _decode;

    /// <summary>The scope of the request that is being handled; null for requests without a limit.</summary>
    public static RequestScope? Current
    {
        get => _current.Value;
        set => _current.Value = value;
    }

    public int MaxMessageBytes { get; } = maxMessageBytes;

    /// <summary>The bytes of the messages that were received since the last <see cref="Release"/>.</summary>
    public long ReceivedBytes { get; private set; }

    /// <summary>The memory that was reserved for the objects of these messages.</summary>
    public long DecodedBytes { get; private set; }

    public async Task EnterAsync(CancellationToken cancellationToken)
    {
        await limiter.EnterAsync(owner, cancellationToken);
        _hasPlace = 1;
    }

    /// <summary>
    /// True for a request that no quota of jobs bounds, because it has queued nothing, or its message needs memory beyond the share of its
    /// key: it counts as one that was refused.
    /// </summary>
    public bool IsRepeatable { get; set; }

    /// <summary>The message is complete. A small one gives its place to another that is to be received.</summary>
    public void OnMessageReceived(int bytes)
    {
        ReceivedBytes += bytes;
        if (ReceivedBytes < LargeMessageBytes) LeavePlace();
    }

    /// <summary>
    /// Keeps the decoding of a large message for <see cref="TakeTurnIfLargeAsync"/>. Returns false if the message is to be decoded at once.
    /// </summary>
    public bool TryDecodeInTurn(Action decode)
    {
        if (ReceivedBytes < LargeMessageBytes || _isReleased) return false;
        _decode = decode;
        return true;
    }

    /// <summary>
    /// Waits for the turn of the request if its message is large: to decode and check it takes long.
    /// </summary>
    /// <exception cref="Protocol.NdifException">The message is over a limit.</exception>
    public async Task TakeTurnIfLargeAsync(CancellationToken cancellationToken)
    {
        if (ReceivedBytes >= LargeMessageBytes) await TakeTurnAsync(cancellationToken);
        Action? decode = _decode;
        _decode = null;
        decode?.Invoke();
    }

    /// <summary>
    /// Waits for the turn of the request, and has it until <see cref="Release"/>. One key has one request at a time that takes long, so
    /// that it uses one processor at most, and reads one list of the queue at a time.
    /// </summary>
    public async Task TakeTurnAsync(CancellationToken cancellationToken)
    {
        if (_hasTurn == 1) return;
        await limiter.TakeTurnAsync(owner, cancellationToken);
        _hasTurn = 1;
    }

    private void LeavePlace()
    {
        if (Interlocked.Exchange(ref _hasPlace, 0) == 1) limiter.Leave(owner);
    }

    /// <summary>What one request may reserve while no other has anything, in bytes.</summary>
    public long MaxMemory => limiter.MaxRequestMemory;

    /// <summary>Reserves the memory of a decoded message, until <see cref="Release"/>.</summary>
    /// <exception cref="Protocol.NdifException">UNAVAILABLE: other requests have the memory at the moment.</exception>
    public void Reserve(long bytes)
    {
        if (!TryReserve(bytes, out bool isOverShare))
        {
            IsRepeatable |= isOverShare;
            throw ServerErrors.GatewayBusy();
        }
        Interlocked.Add(ref _reservedForMessages, bytes);
        DecodedBytes += bytes;
    }

    /// <summary>Reserves memory until the request ends. It is not of a message, and counts for nothing if the request is refused.</summary>
    /// <exception cref="Protocol.NdifException">UNAVAILABLE: other requests have the memory at the moment.</exception>
    public void ReserveUntilEnd(long bytes)
    {
        if (!TryReserve(bytes, out _)) throw ServerErrors.GatewayBusy();
        Interlocked.Add(ref _reservedUntilEnd, bytes);
    }

    /// <summary>Gives back a part of what was reserved until the end, before it.</summary>
    public void ReleaseEarly(long bytes)
    {
        Interlocked.Add(ref _reservedUntilEnd, -bytes);
        limiter.Release(owner, bytes);
    }

    private bool TryReserve(long bytes, out bool isOverShare) =>
        limiter.TryReserve(owner, bytes, out isOverShare, held: _reservedForMessages + _reservedUntilEnd);

    /// <summary>
    /// Gives back the place, the turn, and the memory of the decoded messages. They were accepted, and count no longer if a later message
    /// is refused.
    /// </summary>
    public void Release()
    {
        _isReleased = true;
        (ReceivedBytes, DecodedBytes) = (0, 0);
        LeavePlace();
        if (Interlocked.Exchange(ref _hasTurn, 0) == 1) limiter.LeaveTurn(owner);
        GiveBack(ref _reservedForMessages);
    }

    private void GiveBack(ref long reserved)
    {
        if (Interlocked.Exchange(ref reserved, 0) is > 0 and long bytes) limiter.Release(owner, bytes);
    }

    public void Dispose()
    {
        Release();
        GiveBack(ref _reservedUntilEnd);
    }
}
