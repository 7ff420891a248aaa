using System.Diagnostics;
using Ndif.Protocol;

namespace Ndif.EndToEnd;

public sealed class WorkerLossTests(Cluster cluster, ITestOutputHelper output) : ClusterTests(cluster, output)
{
    [Fact]
    public async Task AJobWhoseWorkerIsKilled_FinishesOnTheOther_AndItsClientOnlyWaits()
    {
        await using Child client = Cluster.User(Cluster.Key, "run", LongJob);
        Told first = await client.StateAsync(JobState.Running);
        Cluster.Workers[first.Worker].Kill();
        long killed = Stopwatch.GetTimestamp();
        Told second = await client.StateAsync(JobState.Running, attempt: 2);
        Output.WriteLine($"taken over after {Stopwatch.GetElapsedTime(killed).TotalSeconds:0.0} s");
        Assert.InRange(Stopwatch.GetElapsedTime(killed).TotalSeconds, 0, Cluster.LeaseSeconds + 10);
        Assert.NotEqual(first.Worker, second.Worker);
        Assert.Equal(await HereAsync(LongJob), await client.ResultsAsync());
    }

    [Fact]
    public async Task AKilledWorker_DisappearsFromTheStatusWithinSeconds()
    {
        string victim = Cluster.Workers.Keys.First();
        await WorkersAsync(ids => ids.Contains(victim));
        Cluster.Workers[victim].Kill();
        long killed = Stopwatch.GetTimestamp();
        await WorkersAsync(ids => !ids.Contains(victim));
        Output.WriteLine($"gone after {Stopwatch.GetElapsedTime(killed).TotalSeconds:0.0} s");
        Assert.InRange(Stopwatch.GetElapsedTime(killed).TotalSeconds, 0, 12);
    }

    [Fact]
    public async Task AWorkerThatIsToldToStop_GivesItsJobBackAtOnce_AndLeavesTheStatus()
    {
        await using Child client = Cluster.User(Cluster.Key, "run", LongJob);
        Told first = await client.StateAsync(JobState.Running);
        Assert.Equal(0, await Cluster.Workers[first.Worker].TerminateAsync());
        Assert.DoesNotContain(first.Worker, (await Status.GetAsync(Cluster.Remote, Cancel)).Workers.Select(worker => worker.Id));
        Told second = await client.StateAsync(JobState.Running, attempt: 2);
        Assert.NotEqual(first.Worker, second.Worker);
        Assert.Equal(await HereAsync(LongJob), await client.ResultsAsync());
    }

    private Task<HashSet<string>> WorkersAsync(Func<HashSet<string>, bool> areSo) =>
        Poll.UntilAsync(async () => (await Status.GetAsync(Cluster.Remote, Cancel)).Workers.Select(worker => worker.Id).ToHashSet(), areSo);
}
