using Ndif.Protocol;

namespace Ndif.EndToEnd;

public sealed class GatewayLossTests(Cluster cluster, ITestOutputHelper output) : ClusterTests(cluster, output)
{
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task AClientThatWatchesOrWaits_GetsEveryEventOnce_AcrossALossOfTheGateway(bool killed)
    {
        Job job;
        using (Recorded recorded = Experiments.Record(LongJob, Cluster.Remote)) job = await recorded.Trace.SubmitAsync(Cancel);
        await using Child watch = Cluster.User(Cluster.Key, "watch", job.Id), run = Cluster.User(Cluster.Key, "run", LongJob);
        await Task.WhenAll(watch.StateAsync(JobState.Running), run.StateAsync(JobState.Running));
        await RestartAsync(killed);
        foreach (Child client in (Child[])[watch, run])
        {
            Assert.Equal(await HereAsync(LongJob), await client.ResultsAsync());
            List<Told> events = [.. (await client.AllAsync()).Where(told => told.What == "event")];
            Assert.Equal(Enumerable.Range(1, events.Count).Select(i => (ulong)i), events.Select(told => told.Sequence));
            Assert.Equal((JobState.Completed, 1u), (events[^1].State, events[^1].Attempt));
        }
    }

    private async Task RestartAsync(bool killed)
    {
        if (killed) Cluster.Gateway.Kill();
        else Assert.Equal(0, await Cluster.Gateway.TerminateAsync());
        await Cluster.Gateway.EndAsync();
        await Cluster.StartGatewayAsync();
    }
}
