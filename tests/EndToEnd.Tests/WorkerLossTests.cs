using System.Diagnostics;
using Ndif.Protocol;

namespace Ndif.EndToEnd.Tests;

public sealed class WorkerLossTests(TestCluster cluster, ITestOutputHelper output) : ClusterTestBase(cluster, output)
{
    [Fact]
    public async Task AJobWhoseWorkerIsKilled_FinishesOnTheOther_AndItsClientOnlyWaits()
    {
        await using ChildProcess client = Cluster.StartClient(Cluster.Key, "run", LongJob);
        ClientMessage first = await client.WaitForStateAsync(JobState.Running);
        Cluster.Workers[first.Worker].Kill();
        long killed = Stopwatch.GetTimestamp();
        ClientMessage second = await client.WaitForStateAsync(JobState.Running, attempt: 2);
        Output.WriteLine($"taken over after {Stopwatch.GetElapsedTime(killed).TotalSeconds:0.0} s");
        Assert.InRange(Stopwatch.GetElapsedTime(killed).TotalSeconds, 0, TestCluster.LeaseSeconds + 10);
        Assert.NotEqual(first.Worker, second.Worker);
        Assert.Equal(await RunLocallyAsync(LongJob), await client.GetResultChecksumsAsync());
    }

    [Fact]
    public async Task AKilledWorker_DisappearsFromTheStatusWithinSeconds()
    {
        string victim = Cluster.Workers.Keys.First();
        await WaitForWorkersAsync(ids => ids.Contains(victim));
        Cluster.Workers[victim].Kill();
        long killed = Stopwatch.GetTimestamp();
        await WaitForWorkersAsync(ids => !ids.Contains(victim));
        Output.WriteLine($"gone after {Stopwatch.GetElapsedTime(killed).TotalSeconds:0.0} s");
        Assert.InRange(Stopwatch.GetElapsedTime(killed).TotalSeconds, 0, 12);
    }

    [Fact]
    public async Task AWorkerThatIsToldToStop_GivesItsJobBackAtOnce_AndLeavesTheStatus()
    {
        await using ChildProcess client = Cluster.StartClient(Cluster.Key, "run", LongJob);
        ClientMessage first = await client.WaitForStateAsync(JobState.Running);
        Assert.Equal(0, await Cluster.Workers[first.Worker].TerminateAsync());
        Assert.DoesNotContain(first.Worker, (await Status.GetAsync(Cluster.Remote, Cancel)).Workers.Select(worker => worker.Id));
        ClientMessage second = await client.WaitForStateAsync(JobState.Running, attempt: 2);
        Assert.NotEqual(first.Worker, second.Worker);
        Assert.Equal(await RunLocallyAsync(LongJob), await client.GetResultChecksumsAsync());
    }

    private Task<HashSet<string>> WaitForWorkersAsync(Func<HashSet<string>, bool> condition) =>
        Poll.UntilAsync(async () => (await Status.GetAsync(Cluster.Remote, Cancel)).Workers.Select(worker => worker.Id).ToHashSet(),
            condition);
}
