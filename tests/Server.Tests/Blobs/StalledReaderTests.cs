using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Text;
using Ndif.Server.Tests.Support;

namespace Ndif.Server.Tests.Blobs;

/// <summary>A client of a response over HTTP may read slowly, and is disconnected when it reads nothing for some time.</summary>
public sealed class StalledReaderTests
{
    private static readonly TimeSpan _timeout = TimeSpan.FromSeconds(1);

    /// <summary>More than the buffers of a connection hold.</summary>
    private static readonly byte[] _bytes = RandomNumberGenerator.GetBytes(24 << 20);

    [Fact]
    public async Task AClientThatStopsReading_IsDisconnected()
    {
        await using TestGateway gateway = await TestGateway.StartAsync(CreateOptions());
        using Socket client = await RequestAsync(gateway);
        Assert.NotEqual(0, await client.ReceiveAsync(new byte[1024], TestGateway.Cancel));
        await Task.Delay(4 * _timeout, TestGateway.Cancel);
        Assert.InRange(await ReadToEndAsync(client, TimeSpan.Zero), 0, _bytes.Length / 2);
    }

    [Fact]
    public async Task AClientThatReadsSlowly_ReceivesEverything()
    {
        await using TestGateway gateway = await TestGateway.StartAsync(CreateOptions());
        using Socket client = await RequestAsync(gateway);
        Assert.InRange(await ReadToEndAsync(client, _timeout / 5), _bytes.Length, int.MaxValue);
    }

    private static GatewayOptions CreateOptions() => new()
    {
        GrpcPort = 0, HttpPort = 0, StalledReaderTimeout = _timeout, Tiers = TestGateway.CreateOptions().Tiers,
    };

    /// <summary>Requests the blob on a connection with a small receive buffer.</summary>
    private static async Task<Socket> RequestAsync(TestGateway gateway)
    {
        string key = (await gateway.CreateKeyAsync()).Key.Reveal(), id = Convert.ToHexStringLower(SHA256.HashData(_bytes));
        using HttpResponseMessage put = await gateway.CreateHttpClient(key)
            .PutAsync($"/v1/blobs/{id}", new ByteArrayContent(_bytes), TestGateway.Cancel);
        Assert.Equal(HttpStatusCode.Created, put.StatusCode);
        var client = new Socket(SocketType.Stream, ProtocolType.Tcp) { ReceiveBufferSize = 64 << 10 };
        await client.ConnectAsync(gateway.Address.Http.Host, gateway.Address.Http.Port, TestGateway.Cancel);
        await client.SendAsync(
            Encoding.ASCII.GetBytes($"GET /v1/blobs/{id} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {key}\r\n"
                + "Connection: close\r\n\r\n"), TestGateway.Cancel);
        return client;
    }

    /// <summary>The bytes until the connection ends. A pause follows every two megabytes.</summary>
    private static async Task<int> ReadToEndAsync(Socket client, TimeSpan pause)
    {
        byte[] buffer = new byte[64 << 10];
        int count = 0;
        try
        {
            while (await client.ReceiveAsync(buffer, TestGateway.Cancel) is var read and > 0)
            {
                if ((count + read) >> 21 != count >> 21) await Task.Delay(pause, TestGateway.Cancel);
                count += read;
            }
        }
        catch (SocketException reset) when (reset.SocketErrorCode is SocketError.ConnectionReset)
        {
            // disconnected
        }
        return count;
    }
}
