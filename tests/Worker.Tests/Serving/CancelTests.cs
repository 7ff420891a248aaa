using System.Diagnostics;
using Ndif.Protocol;
using Ndif.Worker.Tests.Support;

namespace Ndif.Worker.Tests.Serving;

/// <summary>Uses a slow model with 24 layers: a cancelled pass ends at its next layer.</summary>
public sealed class CancelTests
{
    private const int Layers = 24;

    [Fact]
    public async Task ACancelledPass_EndsAtTheNextLayer()
    {
        await using var cluster = new WorkerTestCluster();
        (string deep, TimeSpan whole) = await StartAsync(cluster);
        string job = await cluster.SubmitAsync(deep, TestPrograms.ForwardPass(deep, batch: 128, seq: 48));
        await cluster.WaitForStateAsync(job, JobState.Running);
        await cluster.Backend.Jobs.CancelAsync(job, "", WorkerTestCluster.Cancel);
        long cancelled = Stopwatch.GetTimestamp();
        await cluster.RunAsync(deep); // the model is idle again
        Assert.InRange(Stopwatch.GetElapsedTime(cancelled), TimeSpan.Zero, whole / 2);
        Assert.Equal(JobState.Cancelled, (await cluster.WaitForEndAsync(job)).State);
    }

    [Fact]
    public async Task APassOverItsTimeLimit_EndsAtTheNextLayer()
    {
        await using var cluster = new WorkerTestCluster();
        (string deep, TimeSpan whole) = await StartAsync(cluster);
        string job = await cluster.SubmitAsync(deep, TestPrograms.ForwardPass(deep, batch: 128, seq: 48), limit: whole / 10);
        await cluster.WaitForStateAsync(job, JobState.Running);
        long began = Stopwatch.GetTimestamp();
        StateChanged end = await cluster.WaitForEndAsync(job);
        Assert.InRange(Stopwatch.GetElapsedTime(began), TimeSpan.Zero, whole / 2);
        Assert.Equal((JobState.Failed, ErrorCode.JobTimeout), (end.State, end.Error.Code));
        await cluster.RunAsync(deep);
    }

    /// <returns>The model, and the duration of a complete pass.</returns>
    private static async Task<(string Model, TimeSpan Whole)> StartAsync(WorkerTestCluster cluster)
    {
        string deep = cluster.NewModel("deep", hiddenSize: 128, layers: Layers);
        await cluster.StartWorkerAsync(modelCapacity: 10_000, configure: options => options with { Models = [deep], ReuseMemory = 0 });
        await cluster.RunAsync(deep);
        long began = Stopwatch.GetTimestamp();
        Assert.Equal(JobState.Completed,
            (await cluster.WaitForEndAsync(await cluster.SubmitAsync(deep, TestPrograms.ForwardPass(deep, batch: 128, seq: 48)))).State);
        return (deep, Stopwatch.GetElapsedTime(began));
    }
}
