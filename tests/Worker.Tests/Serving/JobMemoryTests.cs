using Ndif.Protocol;
using Ndif.Worker.Tests.Support;


namespace Ndif.Worker.Tests.Serving;

/// <summary>What one job asks too much of is that job's error, and the worker and the others go on.</summary>
public sealed class JobMemoryTests
{
    [Fact]
    public async Task AJobThatHoldsTooMuch_RunsOutOfMemory_AndTheOthersOfItsPassDoNot()
    {
        await using var stage = new WorkerTestCluster();
        string a = stage.NewModel("a");
        // they wait before there is a worker: they are taken together
        string small = await stage.SubmitAsync(a, TestPrograms.ManyLiveTensors(a, 12)), large = await stage.SubmitAsync(a, TestPrograms.ManyLiveTensors(a, 40)), pass = await stage.SubmitAsync(a);
        await stage.StartWorkerAsync(configure: options => options with { Models = [a], JobMemory = 64 << 20 });
        StateChanged end = await stage.WaitForEndAsync(large);
        Assert.Equal((JobState.Failed, ErrorCode.OutOfMemory), (end.State, end.Error.Code));
        Assert.Contains("67,108,864", end.Error.Message, StringComparison.Ordinal);
        Assert.NotEmpty(end.Error.Hint);
        foreach (string job in (string[])[small, pass]) Assert.Equal((JobState.Completed, 1u), (await stage.WaitForEndAsync(job)) is var good ? (good.State, good.Attempt) : default);
        Assert.Equal(3, stage.Logs.Count("one of 3 in the pass"));
        Event[] saved = [.. (await stage.GetEventsAsync(small)).Where(e => e.Value is not null)];
        Assert.Equal(12f * 1024 * 1024, TensorData.FromProto(Assert.Single(saved).Value.Data.Tensor).ToArray<float>()[0]);
        await stage.RunAsync(a);
    }

    [Theory]
    [InlineData(2_500_000_000_000L)]          // 10 TB
    [InlineData(2_500_000_000_000_000_000L)]  // more bytes than a number holds
    public async Task AJobThatAsksForMoreThanThereCanBe_IsRefusedThat_AndTheWorkerLives(long elements)
    {
        await using var stage = new WorkerTestCluster();
        string a = stage.NewModel("a");
        await stage.StartWorkerAsync(configure: options => options with { Models = [a] });
        StateChanged end = await stage.WaitForEndAsync(await stage.SubmitAsync(a, TestPrograms.HugeTensor(a, elements)));
        Assert.Equal(JobState.Failed, end.State);
        Assert.Contains(end.Error.Code, (ErrorCode[])[ErrorCode.LimitExceeded, ErrorCode.OutOfMemory]);
        await stage.RunAsync(a);
    }
}
