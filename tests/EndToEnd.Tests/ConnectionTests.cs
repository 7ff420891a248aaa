namespace Ndif.EndToEnd.Tests;

/// <summary>A client whose own threads leave its thread pool no thread while its first connection is made.</summary>
public sealed class FullThreadPoolTests(TestCluster cluster, ITestOutputHelper output) : ClusterTestBase(cluster, output)
{
    [Theory]
    [InlineData("describe", 64)]
    [InlineData("models", 64)]
    [InlineData("run", 64)]
    [InlineData("busy", 8)]
    public async Task ItsFirstConnection_DoesNotTimeOut(string use, int threads)
    {
        await using ChildProcess client = Cluster.StartClient(Cluster.Key, [("DOTNET_PROCESSOR_COUNT", "2")], "threads", use, $"{threads}");
        List<ClientMessage> messages = await client.ReadAllMessagesAsync();
        Assert.True(messages[^1].Kind == "end", client.FormatOutput());
    }
}
