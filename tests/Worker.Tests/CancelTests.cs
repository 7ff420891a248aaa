using System.Diagnostics;
using Ndif.Protocol;

namespace Ndif.Worker.Tests;

/// <summary>A model of 24 layers with much to compute: a pass that is not wanted any more ends at its next layer.</summary>
public sealed class CancelTests
{
    private const int Layers = 24;

    [Fact]
    public async Task ACancelledPass_EndsAtTheNextLayer()
    {
        await using var stage = new Stage();
        (string deep, TimeSpan whole) = await StartAsync(stage);
        string job = await stage.SubmitAsync(deep, Programs.Pass(deep, rows: 128, tokens: 48));
        await stage.ReachesAsync(job, JobState.Running);
        await stage.Backend.Jobs.CancelAsync(job, "", Stage.Cancel);
        long cancelled = Stopwatch.GetTimestamp();
        await stage.RunAsync(deep); // the model is free again
        Assert.InRange(Stopwatch.GetElapsedTime(cancelled), TimeSpan.Zero, whole / 2);
        Assert.Equal(JobState.Cancelled, (await stage.EndAsync(job)).State);
    }

    [Fact]
    public async Task APassOverItsTimeLimit_EndsAtTheNextLayer()
    {
        await using var stage = new Stage();
        (string deep, TimeSpan whole) = await StartAsync(stage);
        string job = await stage.SubmitAsync(deep, Programs.Pass(deep, rows: 128, tokens: 48), limit: whole / 10);
        await stage.ReachesAsync(job, JobState.Running);
        long began = Stopwatch.GetTimestamp();
        StateChanged end = await stage.EndAsync(job);
        Assert.InRange(Stopwatch.GetElapsedTime(began), TimeSpan.Zero, whole / 2);
        Assert.Equal((JobState.Failed, ErrorCode.JobTimeout), (end.State, end.Error.Code));
        await stage.RunAsync(deep);
    }

    /// <returns>The model, and how long a whole pass takes.</returns>
    private static async Task<(string Model, TimeSpan Whole)> StartAsync(Stage stage)
    {
        string deep = stage.NewModel("deep", width: 128, layers: Layers);
        await stage.StartAsync(holds: 10_000, with: options => options with { Models = [deep] });
        await stage.RunAsync(deep);
        long began = Stopwatch.GetTimestamp();
        Assert.Equal(JobState.Completed, (await stage.EndAsync(await stage.SubmitAsync(deep, Programs.Pass(deep, rows: 128, tokens: 48)))).State);
        return (deep, Stopwatch.GetElapsedTime(began));
    }
}
