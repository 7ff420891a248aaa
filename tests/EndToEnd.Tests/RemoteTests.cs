namespace Ndif.EndToEnd.Tests;

public sealed class RemoteTests(TestCluster cluster, ITestOutputHelper output) : ClusterTestBase(cluster, output)
{
    [Theory]
    [InlineData("states")]
    [InlineData("edit")]
    [InlineData("generate:12")]
    [InlineData("rules:8")]
    [InlineData("stream:12")]
    public async Task AClientProcess_GetsTheBytesOfALocalRun(string experiment)
    {
        await using ChildProcess client = Cluster.StartClient(Cluster.Key, "run", experiment);
        Dictionary<string, string> here = await RunLocallyAsync(experiment);
        Assert.Equal(here, await client.GetResultChecksumsAsync());
    }

    [Fact]
    public async Task Tokens_ComeAsEvents_WhileItRuns_AndToWhoComesLater()
    {
        await using ChildProcess client = Cluster.StartClient(Cluster.Key, "submit", "stream:12");
        string job = (await client.ReadAllMessagesAsync()).Single(one => one.Kind == "job").Name;
        await using ChildProcess watching = Cluster.StartClient(Cluster.Key, "watch", job),
            again = Cluster.StartClient(Cluster.Key, "watch", job);
        List<string> here = await GenerateLocallyAsync();
        Assert.Equal(12 + 1, here.Count);
        Assert.Equal("log: half 1", here[6]);
        foreach (ChildProcess child in (ChildProcess[])[watching, again])
            Assert.Equal(here, (await child.ReadAllMessagesAsync()).Where(one => one.Kind == "event")
                .SelectMany(one => one.Text.Split('\n'))
                .Where(text => text.StartsWith("token: ", StringComparison.Ordinal) || text.StartsWith("log: ", StringComparison.Ordinal)));
    }

    /// <summary>The token and log events of a local run of the same experiment.</summary>
    private static async Task<List<string>> GenerateLocallyAsync()
    {
        List<string> told = [];
        using RecordedExperiment recorded = Experiments.Record("stream:12", Backend.Local);
        recorded.Trace.OnLog = _ => { };
        recorded.Trace.OnEvent = jobEvent =>
        {
            if (jobEvent.Raw.KindCase is Protocol.Event.KindOneofCase.Token or Protocol.Event.KindOneofCase.Log)
                told.Add(jobEvent.ToString());
        };
        await recorded.RunAsync(TestContext.Current.CancellationToken);
        return told;
    }

    [Fact]
    public async Task AClientProcess_NeedsNoLibtorch()
    {
        Assert.DoesNotContain(Directory.EnumerateFiles(Path.GetDirectoryName(BuildOutput.Client)!).Select(Path.GetFileName),
            file => file!.Contains("torch", StringComparison.OrdinalIgnoreCase));
        await using ChildProcess client = Cluster.StartClient(Cluster.Key, "run", "states");
        List<ClientMessage> told = await client.ReadAllMessagesAsync();
        Assert.Equal([Protocol.JobState.Received, Protocol.JobState.Queued, Protocol.JobState.Running, Protocol.JobState.Completed],
            told.Where(one => one.State is not null).Select(one => one.State!.Value));
        Assert.Equal(Enumerable.Range(1, told.Count(one => one.Kind == "event")).Select(i => (ulong)i),
            told.Where(one => one.Kind == "event").Select(one => one.Sequence));
    }
}
