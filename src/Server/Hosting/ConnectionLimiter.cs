using Microsoft.AspNetCore.Connections;

namespace Ndif.Server.Hosting;

/// <summary>
/// Bounds the connections of a gateway, because each may fill its receive window with bytes that nobody reads. A connection without a
/// request that had a valid key gives way to a new one, the oldest first, so that connections that only wait cannot keep a user out. The
/// connections of one key take at most half of the places, and those whose TLS handshake is not completed a quarter: whoever opens a
/// connection and is silent displaces only others that did the same.
/// </summary>
internal sealed class ConnectionLimiter
{
    private const int MinConnections = 64, MaxConnections = 16_384;

    private readonly Lock _lock = new();
    private readonly LinkedList<ClientConnection> _inHandshake = new(), _withoutKey = new();
    private readonly Dictionary<string, LinkedList<ClientConnection>> _byKey = new(StringComparer.Ordinal);
    private readonly int _places;
    private int _count;

    /// <param name="availableMemory">The memory of the process; null for what the garbage collector may use. A quarter of it is for
    /// receive windows.</param>
    public ConnectionLimiter(long? availableMemory = null)
    {
        long available = availableMemory ?? GC.GetGCMemoryInfo().TotalAvailableMemoryBytes;
        _places = (int)Math.Clamp(available / 4 / KestrelSetup.ConnectionWindowBytes, MinConnections, MaxConnections);
    }

    /// <summary>Runs a connection as middleware of Kestrel; it is closed at once if there is no place for it.</summary>
    /// <param name="hasTls">
    /// Whether a handshake follows, after which <see cref="ClientConnection.OnHandshakeCompleted"/> is called.
    /// </param>
    public async Task RunAsync(ConnectionContext context, ConnectionDelegate next, bool hasTls = false)
    {
        var connection = new ClientConnection(context, this);
        if (!TryAdd(connection, hasTls))
        {
            context.Abort(new ConnectionAbortedException("The gateway has as many connections as it can hold."));
            return;
        }
        context.Features.Set(connection);
        try
        {
            await next(context);
        }
        finally
        {
            Remove(connection);
        }
    }

    private bool TryAdd(ClientConnection connection, bool hasTls)
    {
        ClientConnection? displaced = null;
        lock (_lock)
        {
            if (hasTls && _inHandshake.Count >= _places / 4) displaced = _inHandshake.First!.Value;
            else if (_count >= _places && (displaced = (_withoutKey.First ?? _inHandshake.First)?.Value) is null) return false;
            if (displaced is not null) RemoveFromList(displaced);
            connection.Node = (hasTls ? _inHandshake : _withoutKey).AddLast(connection);
            _count++;
        }
        displaced?.Close();
        return true;
    }

    private void CompleteHandshake(ClientConnection connection)
    {
        lock (_lock)
        {
            if (connection.Node is null) return; // it is being closed
            RemoveFromList(connection);
            connection.Node = _withoutKey.AddLast(connection);
            _count++;
        }
    }

    /// <summary>Notes that a connection has had a request with a valid key. A key that has too many loses its oldest.</summary>
    private void SetKey(ClientConnection connection, string key)
    {
        ClientConnection? displaced = null;
        lock (_lock)
        {
            if (connection.Node is null) return; // it is being closed
            RemoveFromList(connection);
            if (!_byKey.TryGetValue(key, out LinkedList<ClientConnection>? own)) _byKey[key] = own = new LinkedList<ClientConnection>();
            if (own.Count >= _places / 2) RemoveFromList(displaced = own.First!.Value);
            (connection.Key, connection.Node) = (key, own.AddLast(connection));
            _byKey[key] = own; // its list may have become empty
            _count++;
        }
        displaced?.Close();
    }

    private void Remove(ClientConnection connection)
    {
        lock (_lock) RemoveFromList(connection);
    }

    private void RemoveFromList(ClientConnection connection)
    {
        if (connection.Node is not { List: { } list } node) return; // it was displaced
        list.Remove(node);
        connection.Node = null;
        _count--;
        if (connection.Key is { } key && list.Count == 0) _byKey.Remove(key);
    }

    /// <summary>A connection, which the requests on it find among their features.</summary>
    internal sealed class ClientConnection(ConnectionContext context, ConnectionLimiter limiter)
    {
        /// <summary>The key of the last request that had another one than those before; null without a key.</summary>
        public string? Key { get; set; }

        /// <summary>The place among the connections; null if it has none any more.</summary>
        public LinkedListNode<ClientConnection>? Node { get; set; }

        public void OnHandshakeCompleted() => limiter.CompleteHandshake(this);

        public void OnAuthenticated(string key)
        {
            if (Key != key) limiter.SetKey(this, key);
        }

        public void Close()
        {
            Telemetry.DisplacedConnections.Add(1);
            context.Abort(new ConnectionAbortedException("The gateway has as many connections as it can hold."));
        }
    }
}
