using Ndif.Protocol;

namespace Ndif.Worker.Tests;

public sealed class StopTests
{
    [Fact]
    public async Task AStoppedWorker_LetsAShortJobEnd_WithinItsGrace()
    {
        await using var stage = new Stage();
        string a = stage.NewModel("a");
        await stage.StartAsync(with: options => options with { Models = [a], Grace = TimeSpan.FromSeconds(60) });
        string job = await stage.SubmitAsync(a, operations: 800);
        await stage.ReachesAsync(job, JobState.Running);
        stage.Stop();
        await stage.WorkerAsync();
        Assert.Equal((JobState.Completed, 1u), (await stage.EndAsync(job)) is var end ? (end.State, end.Attempt) : default);
    }

    [Fact]
    public async Task AStoppedWorker_GivesALongJobBack_AfterItsGrace()
    {
        await using var stage = new Stage();
        string a = stage.NewModel("a");
        await stage.StartAsync(with: options => options with { Models = [a], Grace = TimeSpan.FromMilliseconds(200) });
        string job = await stage.SubmitAsync(a, operations: 6000);
        await stage.ReachesAsync(job, JobState.Running);
        stage.Stop();
        await stage.WorkerAsync();
        JobInfo info = (await stage.Backend.Jobs.GetAsync(job, Stage.Cancel))!;
        Assert.Equal((JobState.Queued, 1u), (info.State, info.Attempt));
        Assert.Empty(await stage.Backend.Jobs.DeadLettersAsync(10, Stage.Cancel));
    }

    [Fact]
    public async Task AWorkerThatIsStoppedWhileItLoads_GivesTheJobsBack()
    {
        await using var stage = new Stage();
        (string a, string b) = (stage.NewModel("a"), stage.NewModel("b"));
        await stage.StartAsync(holds: 1, with: options => options with { Grace = TimeSpan.FromMilliseconds(100) });
        await stage.DeployAsync(a);
        string running = await stage.SubmitAsync(a, operations: 6000);
        await stage.ReachesAsync(running, JobState.Running);
        await stage.DeployAsync(b);
        string waiting = await stage.SubmitAsync(b);
        await stage.ReachesAsync(waiting, JobState.Loading); // for b it waits until a has gone
        stage.Stop();
        await stage.WorkerAsync();
        foreach (string job in (string[])[running, waiting]) Assert.Equal(JobState.Queued, (await stage.Backend.Jobs.GetAsync(job, Stage.Cancel))!.State);
    }

    [Fact]
    public async Task ModelsThatDoNotFitFromTheStart_AreRefused()
    {
        await using var stage = new Stage();
        string[] both = [stage.NewModel("a"), stage.NewModel("b")];
        var worker = new ModelWorker(new WorkerOptions { Models = both, Memory = stage.Size + 1 }, stage.Backend, new Microsoft.Extensions.Logging.Abstractions.NullLogger<ModelWorker>());
        NdifException refused = await Assert.ThrowsAnyAsync<NdifException>(() => worker.RunAsync(stopping: Stage.Cancel));
        Assert.Equal(ErrorCode.BadArgument, refused.Code);
        Assert.Empty(await stage.Backend.Workers.WorkersAsync(Stage.Cancel));
    }
}
