using System.Diagnostics;
using Ndif.Protocol;
using Ndif.Worker.Tests.Support;

namespace Ndif.Worker.Tests.Serving;

/// <summary>A model of 24 layers with much to compute: a pass that is not wanted any more ends at its next layer.</summary>
public sealed class CancelTests
{
    private const int Layers = 24;

    [Fact]
    public async Task ACancelledPass_EndsAtTheNextLayer()
    {
        await using var stage = new WorkerTestCluster();
        (string deep, TimeSpan whole) = await StartAsync(stage);
        string job = await stage.SubmitAsync(deep, TestPrograms.ForwardPass(deep, batch: 128, seq: 48));
        await stage.WaitForStateAsync(job, JobState.Running);
        await stage.Backend.Jobs.CancelAsync(job, "", WorkerTestCluster.Cancel);
        long cancelled = Stopwatch.GetTimestamp();
        await stage.RunAsync(deep); // the model is free again
        Assert.InRange(Stopwatch.GetElapsedTime(cancelled), TimeSpan.Zero, whole / 2);
        Assert.Equal(JobState.Cancelled, (await stage.WaitForEndAsync(job)).State);
    }

    [Fact]
    public async Task APassOverItsTimeLimit_EndsAtTheNextLayer()
    {
        await using var stage = new WorkerTestCluster();
        (string deep, TimeSpan whole) = await StartAsync(stage);
        string job = await stage.SubmitAsync(deep, TestPrograms.ForwardPass(deep, batch: 128, seq: 48), limit: whole / 10);
        await stage.WaitForStateAsync(job, JobState.Running);
        long began = Stopwatch.GetTimestamp();
        StateChanged end = await stage.WaitForEndAsync(job);
        Assert.InRange(Stopwatch.GetElapsedTime(began), TimeSpan.Zero, whole / 2);
        Assert.Equal((JobState.Failed, ErrorCode.JobTimeout), (end.State, end.Error.Code));
        await stage.RunAsync(deep);
    }

    /// <returns>The model, and how long a whole pass takes.</returns>
    private static async Task<(string Model, TimeSpan Whole)> StartAsync(WorkerTestCluster stage)
    {
        string deep = stage.NewModel("deep", hiddenSize: 128, layers: Layers);
        await stage.StartWorkerAsync(modelCapacity: 10_000, configure: options => options with { Models = [deep] });
        await stage.RunAsync(deep);
        long began = Stopwatch.GetTimestamp();
        Assert.Equal(JobState.Completed, (await stage.WaitForEndAsync(await stage.SubmitAsync(deep, TestPrograms.ForwardPass(deep, batch: 128, seq: 48)))).State);
        return (deep, Stopwatch.GetElapsedTime(began));
    }
}
