using Ndif.Protocol;
using Ndif.Worker.Tests.Support;

namespace Ndif.Worker.Tests.Serving;

/// <summary>The memory that all jobs of a worker may use together. One tensor has 4 MiB.</summary>
public sealed class AllJobsMemoryTests : IAsyncDisposable
{
    private readonly WorkerTestCluster _cluster = new();

    public ValueTask DisposeAsync() => _cluster.DisposeAsync();

    [Fact]
    public async Task OneJob_MayHoldHalfOfIt()
    {
        string model = await StartAsync();
        string small = await _cluster.SubmitAsync(model, TestPrograms.ManyLiveTensors(model, 6));
        Assert.Equal(JobState.Completed, (await _cluster.WaitForEndAsync(small)).State);
        StateChanged large = await _cluster.WaitForEndAsync(
            await _cluster.SubmitAsync(model, TestPrograms.ManyLiveTensors(model, 12)));
        Assert.Equal((JobState.Failed, ErrorCode.OutOfMemory), (large.State, large.Error.Code));
        Assert.Contains("67,108,864 bytes, and one of them at most half", large.Error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task AJobThatLacksMemoryBecauseOfAnother_RunsAgainWhenThatHasEnded()
    {
        string model = await StartAsync();
        string first = await _cluster.SubmitAsync(model, TestPrograms.WaitWithLiveTensors(model, 6, timeoutSeconds: 3));
        await _cluster.WaitForStateAsync(first, JobState.Running);
        string second = await _cluster.SubmitAsync(model, TestPrograms.ManyLiveTensors(model, 6));
        Assert.Equal(ErrorCode.LocalCallFailed, (await _cluster.WaitForEndAsync(first)).Error.Code);
        Assert.Equal(JobState.Completed, (await _cluster.WaitForEndAsync(second)).State);
        Assert.InRange((await _cluster.Backend.Jobs.GetAsync(second, WorkerTestCluster.Cancel))!.Attempt, 2u, 5u);
    }

    private async Task<string> StartAsync()
    {
        string model = _cluster.NewModel("model");
        await _cluster.StartWorkerAsync(configure: options => options with { Models = [model], AllJobsMemory = 64L << 20 });
        return model;
    }
}
