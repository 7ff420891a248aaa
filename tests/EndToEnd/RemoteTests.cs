namespace Ndif.EndToEnd;

public sealed class RemoteTests(Cluster cluster, ITestOutputHelper output) : ClusterTests(cluster, output)
{
    [Theory]
    [InlineData("states")]
    [InlineData("edit")]
    [InlineData("generate:12")]
    public async Task AClientProcess_GetsTheBytesOfALocalRun(string experiment)
    {
        await using Child client = Cluster.User(Cluster.Key, "run", experiment);
        Dictionary<string, string> here = await HereAsync(experiment);
        Assert.Equal(here, await client.ResultsAsync());
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
