using Ndif.Protocol;
using Ndif.Worker.Tests.Support;


namespace Ndif.Worker.Tests.Deployments;

public sealed class SeveralWorkersTests
{
    [Fact]
    public async Task OfSeveral_OneLoads_AndEachThatIsWanted()
    {
        await using var cluster = new WorkerTestCluster();
        string a = cluster.NewModel("a");
        for (int i = 1; i <= 4; i++) await cluster.StartWorkerAsync($"w{i}");
        await cluster.DeployAsync(a);
        string[] jobs = await Task.WhenAll(Enumerable.Range(0, 20).Select(i => cluster.SubmitAsync(a)));
        foreach (string job in jobs) Assert.Equal(JobState.Completed, (await cluster.WaitForEndAsync(job)).State);
        Assert.Equal(1, cluster.Logs.Count("Loading "));
        await cluster.WaitUntilAsync(() => cluster.GetStatusAsync(a), status => status is { Replicas: 1 });

        await cluster.DeployAsync(a, replicas: 3);
        await cluster.WaitUntilAsync(() => cluster.GetStatusAsync(a), status => status is { Replicas: 3 });
        await cluster.DeployAsync(a, replicas: 1);
        await cluster.WaitUntilAsync(() => cluster.GetStatusAsync(a), status => status is { Replicas: 1 });
        Assert.Equal(3, cluster.Logs.Count("Loading "));
        await cluster.RunAsync(a);
    }

    [Fact]
    public async Task AnIdleWorker_GetsAJobBeforeABusyOne()
    {
        const int Jobs = 9;
        await using var cluster = new WorkerTestCluster();
        string a = cluster.NewModel("a");
        foreach (string worker in (string[])["w1", "w2"])
            await cluster.StartWorkerAsync(worker, configure: options => options with { Models = [a] });
        await cluster.WaitUntilAsync(() => cluster.GetStatusAsync(a), status => status is { Replicas: 2 });
        string endless = await cluster.SubmitAsync(a, operations: 1_000_000);
        string? busy = null;
        await cluster.WaitUntilAsync(() => cluster.Backend.Workers.ListWorkersAsync(WorkerTestCluster.Cancel),
            workers => (busy = workers.SingleOrDefault(worker => worker.Jobs.Contains(endless))?.Id) is not null);
        List<string> workers = [];
        for (int i = 0; i < Jobs; i++) workers.Add((await cluster.RunAsync(a))[^1].State.Worker);
        Assert.True(workers.Count(worker => worker != busy) > Jobs / 2, $"{busy}: {string.Join(", ", workers)}");
        await cluster.Backend.Jobs.CancelAsync(endless, "the test has ended", WorkerTestCluster.Cancel);
    }

    [Fact]
    public async Task ScaledDown_TheLeastRecentlyUsedGoes()
    {
        await using var cluster = new WorkerTestCluster();
        string a = cluster.NewModel("a");
        await cluster.StartWorkerAsync("w1");
        await cluster.DeployAsync(a, replicas: 2);
        await cluster.WaitForLoadedModelsAsync("a", "w1");
        await cluster.StartWorkerAsync("w2");
        await cluster.WaitForLoadedModelsAsync("a", "w2");
        string last;
        do
        {
            last = (await cluster.RunAsync(a))[^1].State.Worker; // either worker may lease it
        }
        while (last != "w1");
        await cluster.WaitUntilAsync(() => cluster.GetLoadedModelsAsync("w1"), hot => hot == "a"); // a heartbeat has reported its last use
        await cluster.DeployAsync(a, replicas: 1);
        await cluster.WaitForLoadedModelsAsync("", "w2");
        Assert.Equal("a", await cluster.GetLoadedModelsAsync("w1"));
    }

    [Fact]
    public async Task AWorkerWithFreeRoom_GoesBeforeOneThatWouldHaveToEvict()
    {
        await using var cluster = new WorkerTestCluster();
        (string a, string b) = (cluster.NewModel("a"), cluster.NewModel("b"));
        await cluster.StartWorkerAsync("w1", modelCapacity: 1);
        await cluster.DeployAsync(a);
        await cluster.WaitForLoadedModelsAsync("a", "w1");
        await cluster.StartWorkerAsync("w2", modelCapacity: 1);
        await cluster.DeployAsync(b);
        await cluster.RunAsync(b);
        await cluster.WaitForLoadedModelsAsync("b", "w2");
        Assert.Equal("a", await cluster.GetLoadedModelsAsync("w1"));
    }

    [Fact]
    public async Task ADrainedWorker_EndsWhatRuns_TakesNothing_AndLeaves_AndItsModelsGoToAnother()
    {
        await using var cluster = new WorkerTestCluster();
        string a = cluster.NewModel("a");
        await cluster.StartWorkerAsync("w1");
        await cluster.DeployAsync(a, pinned: true);
        string running = await cluster.SubmitAsync(a, operations: 1500);
        await cluster.WaitForStateAsync(running, JobState.Running);
        await cluster.StartWorkerAsync("w2");
        await cluster.Backend.Deployments.SendOrderAsync("w1", new WorkerOrder { Drain = true }, WorkerTestCluster.Cancel);
        await cluster.WaitUntilAsync(
            async () => (await cluster.Backend.Workers.ListWorkersAsync(WorkerTestCluster.Cancel)).SingleOrDefault(w => w.Id == "w1"),
            w => w is null or { Draining: true });
        string next = await cluster.SubmitAsync(a);
        StateChanged end = await cluster.WaitForEndAsync(next);
        Assert.Equal((JobState.Completed, "w2"), (end.State, end.Worker));
        Assert.Equal(
            (JobState.Completed, "w1", 1u), (await cluster.WaitForEndAsync(running)) is var r ? (r.State, r.Worker, r.Attempt) : default);
        await cluster.WaitForWorkerAsync("w1");
        Assert.Equal(["w2"], (await cluster.Backend.Workers.ListWorkersAsync(WorkerTestCluster.Cancel)).Select(w => w.Id));
    }

    [Fact]
    public async Task AWorkerThatMayNotLoadIt_LeavesItToOneThatCan()
    {
        await using var cluster = new WorkerTestCluster();
        string wide = cluster.NewModel("wide", hiddenSize: 64);
        await cluster.StartWorkerAsync("small", modelCapacity: 1);
        await cluster.StartWorkerAsync("large", modelCapacity: 100);
        await cluster.DeployAsync(wide);
        Assert.Equal("large", (await cluster.RunAsync(wide))[^1].State.Worker);
        Assert.Null((await cluster.GetStatusAsync(wide))!.Error);
    }
}
