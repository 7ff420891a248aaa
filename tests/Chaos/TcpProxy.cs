using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;

namespace Ndif.Chaos;

/// <summary>Passes connections on to another port of this machine, until it is told to cut them or to be slow.</summary>
internal sealed class TcpProxy : IAsyncDisposable
{
    private readonly TcpListener _listener = new(IPAddress.Loopback, 0);
    private readonly ConcurrentDictionary<Socket, bool> _connections = new();
    private readonly CancellationTokenSource _stop = new();
    private readonly Func<int> _target;
    private readonly Task _accepting;

    /// <param name="target">The port, asked for each connection: what listens there may have moved.</param>
    public TcpProxy(Func<int> target)
    {
        _target = target;
        _listener.Start();
        _accepting = AcceptAsync();
    }

    public int Port => ((IPEndPoint)_listener.LocalEndpoint).Port;

    /// <summary>How long each piece is held back.</summary>
    public TimeSpan Delay { get; set; }

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
                // stopped, or the caller was gone before he was let in
            }
        }
    }

    private async Task ServeAsync(Socket client)
    {
        var server = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        client.NoDelay = server.NoDelay = true;
        _connections[client] = _connections[server] = true;
        try
        {
            await server.ConnectAsync(IPAddress.Loopback, _target(), _stop.Token);
            await await Task.WhenAny(ForwardAsync(client, server), ForwardAsync(server, client));
        }
        catch (Exception e) when (e is OperationCanceledException or SocketException or ObjectDisposedException)
        {
            // one side is gone: so is the other
        }
        Reset(client);
        Reset(server);
    }

    private async Task ForwardAsync(Socket from, Socket to)
    {
        byte[] buffer = new byte[1 << 16];
        while (await from.ReceiveAsync(buffer, _stop.Token) is > 0 and int length)
        {
            if (Delay > TimeSpan.Zero) await Task.Delay(Delay, _stop.Token);
            for (int sent = 0; sent < length;) sent += await to.SendAsync(buffer.AsMemory(sent, length - sent), _stop.Token);
        }
    }

    private void Reset(Socket socket)
    {
        if (!_connections.TryRemove(socket, out _)) return;
        socket.LingerState = new LingerOption(true, 0); // a reset, not a farewell
        socket.Dispose();
    }
}
