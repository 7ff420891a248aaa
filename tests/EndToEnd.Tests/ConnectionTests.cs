using System.Net;
using System.Net.Sockets;

namespace Ndif.EndToEnd.Tests;

/// <summary>The first connection of a client.</summary>
public sealed class ConnectionTests(TestCluster cluster, ITestOutputHelper output) : ClusterTestBase(cluster, output)
{
    /// <summary>The threads of the user's own work leave the thread pool none for the connection.</summary>
    [Theory]
    [InlineData("describe", 64)]
    [InlineData("models", 64)]
    [InlineData("run", 64)]
    [InlineData("busy", 8)]
    public async Task WithAFullThreadPool_DoesNotTimeOut(string use, int threads)
    {
        await using ChildProcess client = Cluster.StartClient(Cluster.Key, [("DOTNET_PROCESSOR_COUNT", "2")], "threads", use, $"{threads}");
        List<ClientMessage> messages = await client.ReadAllMessagesAsync();
        Assert.True(messages[^1].Kind == "end", client.FormatOutput());
    }

    /// <summary>A server that accepts no connection: its queue of connections is full, and Linux drops what comes.</summary>
    [Fact]
    public async Task ToAServerThatDoesNotAnswer_TimesOutAndSaysSo()
    {
        using var full = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        full.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        full.Listen(0);
        var address = (IPEndPoint)full.LocalEndPoint!;
        List<TcpClient> waiting = [];
        for (int i = 0; i < 8; i++)
        {
            waiting.Add(new TcpClient());
            _ = waiting[^1].ConnectAsync(address, Cancel).AsTask();
        }
        NdifException thrown = await Assert.ThrowsAsync<NdifException>(
            () => Status.GetAsync(Backend.At($"http://{address}", "key"), Cancel).WaitAsync(TimeSpan.FromSeconds(60), Cancel));
        Assert.Equal(Protocol.ErrorCode.Unavailable, thrown.Code);
        Assert.Contains($"{address} did not answer within 10 s.", thrown.Message, StringComparison.Ordinal);
        foreach (TcpClient client in waiting) client.Dispose();
    }
}
