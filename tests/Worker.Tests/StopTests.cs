using System.Collections.Concurrent;
using System.Diagnostics;
using Ndif.Protocol;
using Ndif.Worker.Tests.Support;

namespace Ndif.Worker.Tests;

public sealed class StopTests
{
    [Fact]
    public async Task AStoppedWorker_LetsAShortJobEnd_WithinItsGrace()
    {
        await using var cluster = new WorkerTestCluster();
        string a = cluster.NewModel("a");
        await cluster.StartWorkerAsync(configure: options => options with { Models = [a], ShutdownGracePeriod = TimeSpan.FromSeconds(60) });
        string job = await cluster.SubmitAsync(a, operations: 800);
        await cluster.WaitForStateAsync(job, JobState.Running);
        cluster.StopWorker();
        await cluster.WaitForWorkerAsync();
        Assert.Equal((JobState.Completed, 1u), (await cluster.WaitForEndAsync(job)) is var end ? (end.State, end.Attempt) : default);
    }

    [Fact]
    public async Task AStoppedWorker_GivesALongJobBack_AfterItsGrace()
    {
        await using var cluster = new WorkerTestCluster();
        string a = cluster.NewModel("a");
        await cluster.StartWorkerAsync(
            configure: options => options with { Models = [a], ShutdownGracePeriod = TimeSpan.FromMilliseconds(200) });
        string job = await cluster.SubmitAsync(a, operations: 6000);
        await cluster.WaitForStateAsync(job, JobState.Running);
        cluster.StopWorker();
        await cluster.WaitForWorkerAsync();
        JobInfo info = (await cluster.Backend.Jobs.GetAsync(job, WorkerTestCluster.Cancel))!;
        Assert.Equal((JobState.Queued, 1u), (info.State, info.Attempt));
        Assert.Empty(await cluster.Backend.Jobs.ListDeadLettersAsync(10, WorkerTestCluster.Cancel));
    }

    [Fact]
    public async Task AWorkerThatIsStoppedWhileItLoads_GivesTheJobsBack()
    {
        await using var cluster = new WorkerTestCluster();
        (string a, string b) = (cluster.NewModel("a"), cluster.NewModel("b"));
        await cluster.StartWorkerAsync(
            modelCapacity: 1, configure: options => options with { ShutdownGracePeriod = TimeSpan.FromMilliseconds(100) });
        await cluster.DeployAsync(a);
        string running = await cluster.SubmitAsync(a, operations: 6000);
        await cluster.WaitForStateAsync(running, JobState.Running);
        await cluster.DeployAsync(b);
        string waiting = await cluster.SubmitAsync(b);
        await cluster.WaitForStateAsync(waiting, JobState.Loading); // b waits until a is evicted
        cluster.StopWorker();
        await cluster.WaitForWorkerAsync();
        foreach (string job in (string[])[running, waiting])
            Assert.Equal(JobState.Queued, (await cluster.Backend.Jobs.GetAsync(job, WorkerTestCluster.Cancel))!.State);
    }

    [Fact]
    public async Task AWorkerThatFails_LeavesItsJobsToOthers()
    {
        await using var cluster = new WorkerTestCluster();
        string a = cluster.NewModel("a");
        await cluster.StartWorkerAsync(configure: options => options with { Models = [a] });
        string job;
        using (ThrowInSpansOf(a))
        {
            job = await cluster.SubmitAsync(a);
            await Assert.ThrowsAsync<InvalidOperationException>(() => cluster.WaitForWorkerAsync());
        }
        Assert.Equal(JobState.Running, (await cluster.Backend.Jobs.GetAsync(job, WorkerTestCluster.Cancel))!.State);
        await cluster.StartWorkerAsync("w2", configure: options => options with { Models = [a] });
        Assert.Equal((JobState.Completed, "w2", 2u),
            (await cluster.WaitForEndAsync(job)) is var end ? (end.State, end.Worker, end.Attempt) : default);
    }

    /// <summary>Makes workers fail between the run of a job on this model and its outcome.</summary>
    private static ActivityListener ThrowInSpansOf(string model)
    {
        var jobs = new ConcurrentBag<Activity>();
        var listener = new ActivityListener
        {
            ShouldListenTo = source => source.Name == Telemetry.Name,
            Sample = (ref ActivityCreationOptions<ActivityContext> _) => ActivitySamplingResult.AllData,
            ActivityStarted = span =>
            {
                if (span.OperationName == "job") jobs.Add(span);
            },
            ActivityStopped = span =>
            {
                if (span.OperationName == "run"
                    && jobs.Any(job => job.SpanId == span.ParentSpanId && job.GetTagItem("ndif.model") is string name && name == model))
                    throw new InvalidOperationException("a test");
            },
        };
        ActivitySource.AddActivityListener(listener);
        return listener;
    }

    [Fact]
    public async Task ModelsThatDoNotFitFromTheStart_AreRefused()
    {
        await using var cluster = new WorkerTestCluster();
        string[] both = [cluster.NewModel("a"), cluster.NewModel("b")];
        var worker = new ModelWorker(new WorkerOptions { Models = both, Memory = cluster.ModelBytes + 1 }, cluster.Backend,
            new Microsoft.Extensions.Logging.Abstractions.NullLogger<ModelWorker>());
        NdifException refused = await Assert.ThrowsAnyAsync<NdifException>(() => worker.RunAsync(stopping: WorkerTestCluster.Cancel));
        Assert.Equal(ErrorCode.BadArgument, refused.Code);
        Assert.Empty(await cluster.Backend.Workers.ListWorkersAsync(WorkerTestCluster.Cancel));
    }
}
