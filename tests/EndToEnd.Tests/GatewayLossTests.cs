using Ndif.Protocol;

namespace Ndif.EndToEnd.Tests;

public sealed class GatewayLossTests(TestCluster cluster, ITestOutputHelper output) : ClusterTestBase(cluster, output)
{
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task AClientThatWatchesOrWaits_GetsEveryEventOnce_AcrossALossOfTheGateway(bool killed)
    {
        Job job;
        using (RecordedExperiment recorded = Experiments.Record(LongJob, Cluster.Remote)) job = await recorded.Trace.SubmitAsync(Cancel);
        await using ChildProcess watch = Cluster.StartClient(Cluster.Key, "watch", job.Id),
            run = Cluster.StartClient(Cluster.Key, "run", LongJob);
        await Task.WhenAll(watch.WaitForStateAsync(JobState.Running), run.WaitForStateAsync(JobState.Running));
        await RestartAsync(killed);
        foreach (ChildProcess client in (ChildProcess[])[watch, run])
        {
            Assert.Equal(await RunLocallyAsync(LongJob), await client.GetResultChecksumsAsync());
            List<ClientMessage> events = [.. (await client.ReadAllMessagesAsync()).Where(message => message.Kind == "event")];
            Assert.Equal(Enumerable.Range(1, events.Count).Select(i => (ulong)i), events.Select(message => message.Sequence));
            Assert.Equal((JobState.Completed, 1u), (events[^1].State, events[^1].Attempt));
        }
    }

    private async Task RestartAsync(bool killed)
    {
        if (killed) Cluster.Gateway.Kill();
        else Assert.Equal(0, await Cluster.Gateway.TerminateAsync());
        await Cluster.Gateway.WaitForExitAsync();
        await Cluster.StartGatewayAsync();
    }
}
