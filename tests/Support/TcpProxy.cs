using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;

namespace Ndif.Tests.Support;

/// <summary>
/// Forwards TCP connections to another port of this machine. It can close and delay connections, and limit the bytes of each one.
/// </summary>
public sealed class TcpProxy : IAsyncDisposable
{
    private readonly TcpListener _listener;
    private readonly ConcurrentDictionary<Socket, bool> _connections = new();
    private readonly CancellationTokenSource _stop = new();
    private readonly Func<int> _target;
    private readonly Task _accepting;
    private int _cuts;

    /// <param name="target">The port to connect to. It is read for each connection, because it can change when a server restarts.</param>
    /// <param name="address">Where to listen; null for a free port of the loopback address.</param>
    public TcpProxy(Func<int> target, IPEndPoint? address = null)
    {
        _target = target;
        _listener = new TcpListener(address ?? new IPEndPoint(IPAddress.Loopback, 0));
        _listener.Start();
        _accepting = AcceptAsync();
    }

    public IPEndPoint Address => (IPEndPoint)_listener.LocalEndpoint;

    public int Port => Address.Port;

    /// <summary>The delay of each chunk.</summary>
    public TimeSpan Delay { get; set; }

    /// <summary>A connection is closed before it carries more than this number of bytes to the client; null for no limit.</summary>
    public long? MaxBytesToClient { get; init; }

    /// <summary>The number of connections that were closed at <see cref="MaxBytesToClient"/>.</summary>
    public int Cuts => Volatile.Read(ref _cuts);

    /// <summary>Resets every connection that is open now.</summary>
    public void ResetAll()
    {
        foreach (Socket socket in _connections.Keys) Reset(socket);
    }

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        _listener.Stop();
        ResetAll();
        await _accepting;
        _stop.Dispose();
    }

    private async Task AcceptAsync()
    {
        while (!_stop.IsCancellationRequested)
        {
            try
            {
                Socket client = await _listener.AcceptSocketAsync(_stop.Token);
                _ = ServeAsync(client);
            }
            catch (Exception e) when (e is OperationCanceledException or SocketException or ObjectDisposedException)
            {
                // The proxy has stopped, or the client disconnected before it was accepted.
            }
        }
    }

    private async Task ServeAsync(Socket client)
    {
        var server = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        client.NoDelay = server.NoDelay = true;
        _connections[client] = _connections[server] = true;
        bool reset = true;
        try
        {
            await server.ConnectAsync(IPAddress.Loopback, _target(), _stop.Token);
            Task<bool> up = ForwardAsync(client, server, null), down = ForwardAsync(server, client, MaxBytesToClient);
            reset = await await Task.WhenAny(up, down);
        }
        catch (Exception e) when (e is OperationCanceledException or SocketException or ObjectDisposedException)
        {
            // One side is closed; both are closed below.
        }
        Close(client, reset);
        Close(server, reset);
    }

    /// <returns>Whether the sender ended the connection, rather than the limit.</returns>
    private async Task<bool> ForwardAsync(Socket from, Socket to, long? limit)
    {
        byte[] buffer = new byte[1 << 16];
        long forwarded = 0;
        while (await from.ReceiveAsync(buffer, _stop.Token) is > 0 and int length)
        {
            if (forwarded + length > limit)
            {
                Interlocked.Increment(ref _cuts);
                return false;
            }
            if (Delay > TimeSpan.Zero) await Task.Delay(Delay, _stop.Token);
            for (int sent = 0; sent < length;) sent += await to.SendAsync(buffer.AsMemory(sent, length - sent), _stop.Token);
            forwarded += length;
        }
        return true;
    }

    private void Reset(Socket socket) => Close(socket, reset: true);

    /// <summary>A reset discards what the client has not read yet; an orderly close lets it read that first.</summary>
    private void Close(Socket socket, bool reset)
    {
        if (!_connections.TryRemove(socket, out _)) return;
        if (reset) socket.LingerState = new LingerOption(true, 0);
        socket.Dispose();
    }
}
