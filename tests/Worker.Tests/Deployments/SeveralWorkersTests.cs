using Ndif.Protocol;
using Ndif.Worker.Tests.Support;


namespace Ndif.Worker.Tests.Deployments;

public sealed class SeveralWorkersTests
{
    [Fact]
    public async Task OfSeveral_OneLoads_AndEachThatIsWanted()
    {
        await using var stage = new WorkerTestCluster();
        string a = stage.NewModel("a");
        for (int i = 1; i <= 4; i++) await stage.StartWorkerAsync($"w{i}");
        await stage.DeployAsync(a);
        string[] jobs = await Task.WhenAll(Enumerable.Range(0, 20).Select(i => stage.SubmitAsync(a)));
        foreach (string job in jobs) Assert.Equal(JobState.Completed, (await stage.WaitForEndAsync(job)).State);
        Assert.Equal(1, stage.Logs.Count("Loading "));
        await stage.WaitUntilAsync(() => stage.GetStatusAsync(a), status => status is { Replicas: 1 });

        await stage.DeployAsync(a, replicas: 3);
        await stage.WaitUntilAsync(() => stage.GetStatusAsync(a), status => status is { Replicas: 3 });
        await stage.DeployAsync(a, replicas: 1);
        await stage.WaitUntilAsync(() => stage.GetStatusAsync(a), status => status is { Replicas: 1 });
        Assert.Equal(3, stage.Logs.Count("Loading "));
        await stage.RunAsync(a);
    }

    [Fact]
    public async Task ScaledDown_TheLeastRecentlyUsedGoes()
    {
        await using var stage = new WorkerTestCluster();
        string a = stage.NewModel("a");
        await stage.StartWorkerAsync("w1");
        await stage.DeployAsync(a, replicas: 2);
        await stage.WaitForLoadedModelsAsync("a", "w1");
        await stage.StartWorkerAsync("w2");
        await stage.WaitForLoadedModelsAsync("a", "w2");
        string last;
        do
        {
            last = (await stage.RunAsync(a))[^1].State.Worker; // either may take it
        }
        while (last != "w1");
        await stage.WaitUntilAsync(() => stage.GetLoadedModelsAsync("w1"), hot => hot == "a"); // a heartbeat told of its use
        await stage.DeployAsync(a, replicas: 1);
        await stage.WaitForLoadedModelsAsync("", "w2");
        Assert.Equal("a", await stage.GetLoadedModelsAsync("w1"));
    }

    [Fact]
    public async Task AWorkerWithFreeRoom_GoesBeforeOneThatWouldHaveToEvict()
    {
        await using var stage = new WorkerTestCluster();
        (string a, string b) = (stage.NewModel("a"), stage.NewModel("b"));
        await stage.StartWorkerAsync("w1", modelCapacity: 1);
        await stage.DeployAsync(a);
        await stage.WaitForLoadedModelsAsync("a", "w1");
        await stage.StartWorkerAsync("w2", modelCapacity: 1);
        await stage.DeployAsync(b);
        await stage.RunAsync(b);
        await stage.WaitForLoadedModelsAsync("b", "w2");
        Assert.Equal("a", await stage.GetLoadedModelsAsync("w1"));
    }

    [Fact]
    public async Task ADrainedWorker_EndsWhatRuns_TakesNothing_AndLeaves_AndItsModelsGoToAnother()
    {
        await using var stage = new WorkerTestCluster();
        string a = stage.NewModel("a");
        await stage.StartWorkerAsync("w1");
        await stage.DeployAsync(a, pinned: true);
        string running = await stage.SubmitAsync(a, operations: 1500);
        await stage.WaitForStateAsync(running, JobState.Running);
        await stage.StartWorkerAsync("w2");
        await stage.Backend.Deployments.SendOrderAsync("w1", new WorkerOrder { Drain = true }, WorkerTestCluster.Cancel);
        await stage.WaitUntilAsync(async () => (await stage.Backend.Workers.ListWorkersAsync(WorkerTestCluster.Cancel)).SingleOrDefault(w => w.Id == "w1"), w => w is null or { Draining: true });
        string next = await stage.SubmitAsync(a);
        StateChanged end = await stage.WaitForEndAsync(next);
        Assert.Equal((JobState.Completed, "w2"), (end.State, end.Worker));
        Assert.Equal((JobState.Completed, "w1", 1u), (await stage.WaitForEndAsync(running)) is var r ? (r.State, r.Worker, r.Attempt) : default);
        await stage.WaitForWorkerAsync("w1");
        Assert.Equal(["w2"], (await stage.Backend.Workers.ListWorkersAsync(WorkerTestCluster.Cancel)).Select(w => w.Id));
    }

    [Fact]
    public async Task AWorkerThatMayNotLoadIt_LeavesItToOneThatCan()
    {
        await using var stage = new WorkerTestCluster();
        string wide = stage.NewModel("wide", hiddenSize: 64);
        await stage.StartWorkerAsync("small", modelCapacity: 1);
        await stage.StartWorkerAsync("large", modelCapacity: 100);
        await stage.DeployAsync(wide);
        Assert.Equal("large", (await stage.RunAsync(wide))[^1].State.Worker);
        Assert.Null((await stage.GetStatusAsync(wide))!.Error);
    }
}
