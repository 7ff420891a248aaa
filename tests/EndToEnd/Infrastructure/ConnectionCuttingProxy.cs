using System.Net;
using System.Net.Sockets;

namespace Ndif.EndToEnd;

/// <summary>
/// The gateway's ports on another address of this machine: passes bytes on, and cuts each connection after so many to the client.
/// </summary>
internal sealed class ConnectionCuttingProxy : IAsyncDisposable
{
    private static readonly IPAddress _address = IPAddress.Parse("127.0.0.2");

    private readonly TcpListener[] _listeners;
    private readonly CancellationTokenSource _stop = new();
    private readonly long _maxBytes;
    private int _cuts;

    public ConnectionCuttingProxy(long maxBytes, params Uri[] ports)
    {
        _maxBytes = maxBytes;
        _listeners = [.. ports.Select(port => new TcpListener(_address, port.Port))];
        foreach ((TcpListener listener, Uri port) in _listeners.Zip(ports))
        {
            listener.Start();
            _ = AcceptAsync(listener, port);
        }
    }

    /// <summary>The first port's.</summary>
    public string Address => $"http://{_listeners[0].LocalEndpoint}";

    /// <summary>Connections that were cut.</summary>
    public int Cuts => Volatile.Read(ref _cuts);

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        foreach (TcpListener listener in _listeners) listener.Stop();
    }

    private async Task AcceptAsync(TcpListener listener, Uri port)
    {
        try
        {
            while (true) _ = ServeAsync(await listener.AcceptTcpClientAsync(_stop.Token), port);
        }
        catch (Exception e) when (e is OperationCanceledException or SocketException or ObjectDisposedException)
        {
            // the test is over
        }
    }

    private async Task ServeAsync(TcpClient client, Uri port)
    {
        using (client)
        using (var server = new TcpClient())
        {
            await server.ConnectAsync(port.Host, port.Port);
            Task up = client.GetStream().CopyToAsync(server.GetStream(), _stop.Token), down = CopyToClientAsync(server.GetStream(), client.GetStream());
            await Task.WhenAny(up, down);
        }
    }

    private async Task CopyToClientAsync(NetworkStream from, NetworkStream to)
    {
        byte[] buffer = new byte[64 << 10];
        for (long sent = 0; ;)
        {
            int read = await from.ReadAsync(buffer, _stop.Token);
            if (read == 0) return;
            if (sent + read > _maxBytes)
            {
                Interlocked.Increment(ref _cuts);
                return; // and both ends with it
            }
            await to.WriteAsync(buffer.AsMemory(0, read), _stop.Token);
            sent += read;
        }
    }
}
