namespace Ndif.EndToEnd;

public sealed class RemoteTests(Cluster cluster, ITestOutputHelper output) : ClusterTests(cluster, output)
{
    [Theory]
    [InlineData("states")]
    [InlineData("edit")]
    [InlineData("generate:12")]
    [InlineData("stream:12")]
    public async Task AClientProcess_GetsTheBytesOfALocalRun(string experiment)
    {
        await using Child client = Cluster.User(Cluster.Key, "run", experiment);
        Dictionary<string, string> here = await HereAsync(experiment);
        Assert.Equal(here, await client.ResultsAsync());
    }

    [Fact]
    public async Task Tokens_ComeAsEvents_WhileItRuns_AndToWhoComesLater()
    {
        await using Child client = Cluster.User(Cluster.Key, "submit", "stream:12");
        string job = (await client.AllAsync()).Single(one => one.What == "job").Name;
        await using Child watching = Cluster.User(Cluster.Key, "watch", job), again = Cluster.User(Cluster.Key, "watch", job);
        List<string> here = await TokensHereAsync();
        Assert.Equal(12 + 1, here.Count);
        Assert.Equal("log: half 1", here[6]);
        foreach (Child child in (Child[])[watching, again])
            Assert.Equal(here, (await child.AllAsync()).Where(one => one.What == "event").SelectMany(one => one.Text.Split('\n')).Where(text => text.StartsWith("token: ", StringComparison.Ordinal) || text.StartsWith("log: ", StringComparison.Ordinal)));
    }

    /// <summary>What a local run of the same experiment tells.</summary>
    private static async Task<List<string>> TokensHereAsync()
    {
        List<string> told = [];
        using Recorded recorded = Experiments.Record("stream:12", Backend.Local);
        recorded.Trace.OnLog = _ => { };
        recorded.Trace.OnEvent = happening =>
        {
            if (happening.Raw.KindCase is Protocol.Event.KindOneofCase.Token or Protocol.Event.KindOneofCase.Log) told.Add(happening.ToString());
        };
        await recorded.RunAsync(TestContext.Current.CancellationToken);
        return told;
    }

    [Fact]
    public async Task AClientProcess_NeedsNoLibtorch()
    {
        Assert.DoesNotContain(Directory.EnumerateFiles(Path.GetDirectoryName(Built.Client)!).Select(Path.GetFileName),
            file => file!.Contains("torch", StringComparison.OrdinalIgnoreCase));
        await using Child client = Cluster.User(Cluster.Key, "run", "states");
        List<Told> told = await client.AllAsync();
        Assert.Equal([Protocol.JobState.Received, Protocol.JobState.Queued, Protocol.JobState.Running, Protocol.JobState.Completed],
            told.Where(one => one.State is not null).Select(one => one.State!.Value));
        Assert.Equal(Enumerable.Range(1, told.Count(one => one.What == "event")).Select(i => (ulong)i), told.Where(one => one.What == "event").Select(one => one.Sequence));
    }
}
