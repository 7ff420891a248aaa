using Ndif.Protocol;
using Ndif.Worker.Tests.Support;


namespace Ndif.Worker.Tests;

public sealed class StopTests
{
    [Fact]
    public async Task AStoppedWorker_LetsAShortJobEnd_WithinItsGrace()
    {
        await using var stage = new WorkerTestCluster();
        string a = stage.NewModel("a");
        await stage.StartWorkerAsync(configure: options => options with { Models = [a], ShutdownGracePeriod = TimeSpan.FromSeconds(60) });
        string job = await stage.SubmitAsync(a, operations: 800);
        await stage.WaitForStateAsync(job, JobState.Running);
        stage.StopWorker();
        await stage.WaitForWorkerAsync();
        Assert.Equal((JobState.Completed, 1u), (await stage.WaitForEndAsync(job)) is var end ? (end.State, end.Attempt) : default);
    }

    [Fact]
    public async Task AStoppedWorker_GivesALongJobBack_AfterItsGrace()
    {
        await using var stage = new WorkerTestCluster();
        string a = stage.NewModel("a");
        await stage.StartWorkerAsync(configure: options => options with { Models = [a], ShutdownGracePeriod = TimeSpan.FromMilliseconds(200) });
        string job = await stage.SubmitAsync(a, operations: 6000);
        await stage.WaitForStateAsync(job, JobState.Running);
        stage.StopWorker();
        await stage.WaitForWorkerAsync();
        JobInfo info = (await stage.Backend.Jobs.GetAsync(job, WorkerTestCluster.Cancel))!;
        Assert.Equal((JobState.Queued, 1u), (info.State, info.Attempt));
        Assert.Empty(await stage.Backend.Jobs.ListDeadLettersAsync(10, WorkerTestCluster.Cancel));
    }

    [Fact]
    public async Task AWorkerThatIsStoppedWhileItLoads_GivesTheJobsBack()
    {
        await using var stage = new WorkerTestCluster();
        (string a, string b) = (stage.NewModel("a"), stage.NewModel("b"));
        await stage.StartWorkerAsync(modelCapacity: 1, configure: options => options with { ShutdownGracePeriod = TimeSpan.FromMilliseconds(100) });
        await stage.DeployAsync(a);
        string running = await stage.SubmitAsync(a, operations: 6000);
        await stage.WaitForStateAsync(running, JobState.Running);
        await stage.DeployAsync(b);
        string waiting = await stage.SubmitAsync(b);
        await stage.WaitForStateAsync(waiting, JobState.Loading); // for b it waits until a has gone
        stage.StopWorker();
        await stage.WaitForWorkerAsync();
        foreach (string job in (string[])[running, waiting]) Assert.Equal(JobState.Queued, (await stage.Backend.Jobs.GetAsync(job, WorkerTestCluster.Cancel))!.State);
    }

    [Fact]
    public async Task ModelsThatDoNotFitFromTheStart_AreRefused()
    {
        await using var stage = new WorkerTestCluster();
        string[] both = [stage.NewModel("a"), stage.NewModel("b")];
        var worker = new ModelWorker(new WorkerOptions { Models = both, Memory = stage.ModelBytes + 1 }, stage.Backend, new Microsoft.Extensions.Logging.Abstractions.NullLogger<ModelWorker>());
        NdifException refused = await Assert.ThrowsAnyAsync<NdifException>(() => worker.RunAsync(stopping: WorkerTestCluster.Cancel));
        Assert.Equal(ErrorCode.BadArgument, refused.Code);
        Assert.Empty(await stage.Backend.Workers.ListWorkersAsync(WorkerTestCluster.Cancel));
    }
}
