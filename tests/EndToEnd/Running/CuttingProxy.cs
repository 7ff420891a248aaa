using System.Net;
using System.Net.Sockets;

namespace Ndif.EndToEnd;

/// <summary>Passes bytes on between a client and the gateway, and cuts each connection after so many bytes to the client.</summary>
internal sealed class CuttingProxy : IAsyncDisposable
{
    private readonly TcpListener _listener = new(IPAddress.Loopback, 0);
    private readonly CancellationTokenSource _stop = new();
    private readonly Uri _gateway;
    private readonly long _most;
    private int _cuts;

    public CuttingProxy(Uri gateway, long most)
    {
        (_gateway, _most) = (gateway, most);
        _listener.Start();
        _ = AcceptAsync();
    }

    public string Address => $"http://127.0.0.1:{((IPEndPoint)_listener.LocalEndpoint).Port}";

    /// <summary>Connections that were cut.</summary>
    public int Cuts => Volatile.Read(ref _cuts);

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        _listener.Stop();
    }

    private async Task AcceptAsync()
    {
        try
        {
            while (true) _ = ServeAsync(await _listener.AcceptTcpClientAsync(_stop.Token));
        }
        catch (Exception e) when (e is OperationCanceledException or SocketException or ObjectDisposedException)
        {
            // the test is over
        }
    }

    private async Task ServeAsync(TcpClient client)
    {
        using (client)
        using (var server = new TcpClient())
        {
            await server.ConnectAsync(_gateway.Host, _gateway.Port);
            Task up = client.GetStream().CopyToAsync(server.GetStream(), _stop.Token), down = DownAsync(server.GetStream(), client.GetStream());
            await Task.WhenAny(up, down);
        }
    }

    private async Task DownAsync(NetworkStream from, NetworkStream to)
    {
        byte[] buffer = new byte[64 << 10];
        for (long sent = 0; ;)
        {
            int read = await from.ReadAsync(buffer, _stop.Token);
            if (read == 0) return;
            if (sent + read > _most)
            {
                Interlocked.Increment(ref _cuts);
                return; // and both ends with it
            }
            await to.WriteAsync(buffer.AsMemory(0, read), _stop.Token);
            sent += read;
        }
    }
}
