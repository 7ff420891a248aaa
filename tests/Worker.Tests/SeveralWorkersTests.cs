using Ndif.Protocol;

namespace Ndif.Worker.Tests;

public sealed class SeveralWorkersTests
{
    [Fact]
    public async Task OfSeveral_OneLoads_AndEachThatIsWanted()
    {
        await using var stage = new Stage();
        string a = stage.NewModel("a");
        for (int i = 1; i <= 4; i++) await stage.StartAsync($"w{i}");
        await stage.DeployAsync(a);
        string[] jobs = await Task.WhenAll(Enumerable.Range(0, 20).Select(i => stage.SubmitAsync(a)));
        foreach (string job in jobs) Assert.Equal(JobState.Completed, (await stage.EndAsync(job)).State);
        Assert.Equal(1, stage.Lines.Count("Loading "));
        await stage.UntilAsync(() => stage.StatusAsync(a), status => status is { Replicas: 1 });

        await stage.DeployAsync(a, replicas: 3);
        await stage.UntilAsync(() => stage.StatusAsync(a), status => status is { Replicas: 3 });
        await stage.DeployAsync(a, replicas: 1);
        await stage.UntilAsync(() => stage.StatusAsync(a), status => status is { Replicas: 1 });
        Assert.Equal(3, stage.Lines.Count("Loading "));
        await stage.RunAsync(a);
    }

    [Fact]
    public async Task ScaledDown_TheLeastRecentlyUsedGoes()
    {
        await using var stage = new Stage();
        string a = stage.NewModel("a");
        await stage.StartAsync("w1");
        await stage.DeployAsync(a, replicas: 2);
        await stage.HoldsAsync("a", "w1");
        await stage.StartAsync("w2");
        await stage.HoldsAsync("a", "w2");
        string last;
        do
        {
            last = (await stage.RunAsync(a))[^1].State.Worker; // either may take it
        }
        while (last != "w1");
        await stage.UntilAsync(() => stage.HotAsync("w1"), hot => hot == "a"); // a heartbeat told of its use
        await stage.DeployAsync(a, replicas: 1);
        await stage.HoldsAsync("", "w2");
        Assert.Equal("a", await stage.HotAsync("w1"));
    }

    [Fact]
    public async Task AWorkerWithFreeRoom_GoesBeforeOneThatWouldHaveToEvict()
    {
        await using var stage = new Stage();
        (string a, string b) = (stage.NewModel("a"), stage.NewModel("b"));
        await stage.StartAsync("w1", holds: 1);
        await stage.DeployAsync(a);
        await stage.HoldsAsync("a", "w1");
        await stage.StartAsync("w2", holds: 1);
        await stage.DeployAsync(b);
        await stage.RunAsync(b);
        await stage.HoldsAsync("b", "w2");
        Assert.Equal("a", await stage.HotAsync("w1"));
    }

    [Fact]
    public async Task ADrainedWorker_EndsWhatRuns_TakesNothing_AndLeaves_AndItsModelsGoToAnother()
    {
        await using var stage = new Stage();
        string a = stage.NewModel("a");
        await stage.StartAsync("w1");
        await stage.DeployAsync(a, pinned: true);
        string running = await stage.SubmitAsync(a, operations: 1500);
        await stage.ReachesAsync(running, JobState.Running);
        await stage.StartAsync("w2");
        await stage.Backend.Deployments.OrderAsync("w1", new WorkerOrder { Drain = true }, Stage.Cancel);
        await stage.UntilAsync(async () => (await stage.Backend.Workers.WorkersAsync(Stage.Cancel)).SingleOrDefault(w => w.Id == "w1"), w => w is null or { Draining: true });
        string next = await stage.SubmitAsync(a);
        StateChanged end = await stage.EndAsync(next);
        Assert.Equal((JobState.Completed, "w2"), (end.State, end.Worker));
        Assert.Equal((JobState.Completed, "w1", 1u), (await stage.EndAsync(running)) is var r ? (r.State, r.Worker, r.Attempt) : default);
        await stage.WorkerAsync("w1");
        Assert.Equal(["w2"], (await stage.Backend.Workers.WorkersAsync(Stage.Cancel)).Select(w => w.Id));
    }

    [Fact]
    public async Task AWorkerThatMayNotLoadIt_LeavesItToOneThatCan()
    {
        await using var stage = new Stage();
        string wide = stage.NewModel("wide", width: 64);
        await stage.StartAsync("small", holds: 1);
        await stage.StartAsync("large", holds: 100);
        await stage.DeployAsync(wide);
        Assert.Equal("large", (await stage.RunAsync(wide))[^1].State.Worker);
        Assert.Null((await stage.StatusAsync(wide))!.Error);
    }
}
