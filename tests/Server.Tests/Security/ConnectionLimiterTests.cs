using System.Buffers.Binary;
using System.Net;
using System.Net.Sockets;
using Microsoft.AspNetCore.Connections;
using Ndif.Server.Hosting;
using Ndif.Server.Tests.Support;

namespace Ndif.Server.Tests.Security;

/// <summary>
/// Connections that fill their windows with bytes that nobody reads took the memory of a gateway with a heap of 1 GB: 35 of them, without a
/// key, each with 32 MB on calls of reflection whose answers it did not accept.
/// </summary>
public sealed class ConnectionLimiterTests
{
    private const int Places = 64; // of the smallest memory

    [Fact]
    public async Task ANewConnection_DisplacesTheOldestWithoutAKey()
    {
        var limiter = new ConnectionLimiter(availableMemory: 1 << 20);
        await using Connection withKey = await Connection.OpenAsync(limiter, "ada");
        List<Connection> silent = [];
        for (int i = 1; i < Places; i++) silent.Add(await Connection.OpenAsync(limiter));
        Assert.DoesNotContain(silent, connection => connection.IsClosed);

        await using Connection next = await Connection.OpenAsync(limiter);
        await silent[0].Ended;
        Assert.Single(silent, connection => connection.IsClosed);
        Assert.False(withKey.IsClosed);
        Assert.False(next.IsClosed);
        foreach (Connection connection in silent) await connection.DisposeAsync();
    }

    [Fact]
    public async Task OneKey_HasHalfOfThePlaces_AndLosesItsOldest()
    {
        var limiter = new ConnectionLimiter(availableMemory: 1 << 20);
        List<Connection> own = [];
        for (int i = 0; i < Places; i++) own.Add(await Connection.OpenAsync(limiter, "eve"));
        await Task.WhenAll(own.Take(Places / 2).Select(connection => connection.Ended));
        Assert.Equal(Places / 2, own.Count(connection => connection.IsClosed));
        await using Connection other = await Connection.OpenAsync(limiter, "ada");
        Assert.False(other.IsClosed);
        foreach (Connection connection in own) await connection.DisposeAsync();

        // closed connections give their places back
        own = [];
        for (int i = 0; i < Places / 2; i++) own.Add(await Connection.OpenAsync(limiter, "eve"));
        Assert.DoesNotContain(own, connection => connection.IsClosed);
        foreach (Connection connection in own) await connection.DisposeAsync();
    }

    [Fact]
    public async Task IfAllConnectionsHaveKeys_ANewOneIsRefused()
    {
        var limiter = new ConnectionLimiter(availableMemory: 1 << 20);
        List<Connection> busy = [];
        for (int i = 0; i < Places; i++) busy.Add(await Connection.OpenAsync(limiter, $"key-{i}"));
        await using Connection refused = await Connection.OpenAsync(limiter);
        await refused.Ended;
        Assert.False(refused.WasServed);
        Assert.DoesNotContain(busy, connection => connection.IsClosed);
        foreach (Connection connection in busy) await connection.DisposeAsync();
    }

    /// <summary>The windows that a gateway offers are those that the limit counts with.</summary>
    [Fact]
    public async Task TheWindowsOfHttp2_AreSmall()
    {
        await using TestGateway gateway = await TestGateway.StartAsync();
        using var raw = new TcpClient();
        await raw.ConnectAsync(IPAddress.Loopback, gateway.Address.Grpc.Port, TestGateway.Cancel);
        NetworkStream stream = raw.GetStream();
        await stream.WriteAsync("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\u0004\0\0\0\0\0"u8.ToArray(), TestGateway.Cancel); // and settings
        byte[] settings = await ReadFrameAsync(stream, 4), update = await ReadFrameAsync(stream, 8);
        uint window = settings.Chunk(6).Where(setting => setting[1] == 4).Select(s => BinaryPrimitives.ReadUInt32BigEndian(s.AsSpan(2)))
            .Single();
        Assert.InRange(window, 65_535u, (uint)KestrelSetup.ConnectionWindowBytes);
        Assert.InRange(65_535 + BinaryPrimitives.ReadUInt32BigEndian(update), window, (uint)KestrelSetup.ConnectionWindowBytes);
    }

    private static async Task<byte[]> ReadFrameAsync(NetworkStream stream, byte type)
    {
        while (true)
        {
            byte[] head = new byte[9];
            await stream.ReadExactlyAsync(head, TestGateway.Cancel);
            byte[] body = new byte[(head[0] << 16) | (head[1] << 8) | head[2]];
            await stream.ReadExactlyAsync(body, TestGateway.Cancel);
            if (head[3] == type && (head[4] & 1) == 0) return body; // no acknowledgement
        }
    }

    /// <summary>A connection that stays open until it is closed.</summary>
    private sealed class Connection : IAsyncDisposable
    {
        private readonly DefaultConnectionContext _context = new(Guid.NewGuid().ToString());
        private readonly TaskCompletionSource _served = new();

        public Task Ended { get; private set; } = Task.CompletedTask;

        public bool WasServed => _served.Task.IsCompleted;

        public bool IsClosed => _context.ConnectionClosed.IsCancellationRequested;

        public static async Task<Connection> OpenAsync(ConnectionLimiter limiter, string? key = null)
        {
            var connection = new Connection();
            connection.Ended = limiter.RunAsync(connection._context, async context =>
            {
                connection._served.SetResult();
                if (key is not null) context.Features.Get<ConnectionLimiter.ClientConnection>()!.OnAuthenticated(key);
                await Task.Delay(Timeout.Infinite, context.ConnectionClosed).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            });
            await Task.WhenAny(connection.Ended, connection._served.Task);
            return connection;
        }

        public async ValueTask DisposeAsync()
        {
            _context.Abort(); // it cancels its token later, so it must not be disposed here
            await Ended;
        }
    }
}
