using Ndif.Protocol;
using Ndif.Worker.Tests.Support;


namespace Ndif.Worker.Tests.Serving;

/// <summary>A job that uses too much memory fails; the worker and the other jobs continue.</summary>
public sealed class JobMemoryTests
{
    [Fact]
    public async Task AJobThatHoldsTooMuch_RunsOutOfMemory_AndTheOthersDoNot()
    {
        await using var cluster = new WorkerTestCluster();
        string a = cluster.NewModel("a");
        string small = await cluster.SubmitAsync(a, TestPrograms.ManyLiveTensors(a, 6)); // less than a third of that of all jobs
        string large = await cluster.SubmitAsync(a, TestPrograms.ManyLiveTensors(a, 40));
        string pass = await cluster.SubmitAsync(a);
        await cluster.StartWorkerAsync(configure: options => options with { Models = [a], JobMemory = 64 << 20 });
        StateChanged end = await cluster.WaitForEndAsync(large);
        Assert.Equal((JobState.Failed, ErrorCode.OutOfMemory), (end.State, end.Error.Code));
        Assert.Contains("67,108,864", end.Error.Message, StringComparison.Ordinal);
        Assert.NotEmpty(end.Error.Hint);
        foreach (string job in (string[])[small, pass])
            Assert.Equal((JobState.Completed, 1u), (await cluster.WaitForEndAsync(job)) is var good ? (good.State, good.Attempt) : default);
        Event[] saved = [.. (await cluster.GetEventsAsync(small)).Where(e => e.Value is not null)];
        Assert.Equal(6f * 1024 * 1024, TensorData.FromProto(Assert.Single(saved).Value.Data.Tensor).ToArray<float>()[0]);
        await cluster.RunAsync(a);
    }

    [Theory]
    [InlineData(2_500_000_000_000L)]          // 10 TB
    [InlineData(2_500_000_000_000_000_000L)]  // more bytes than a 64-bit integer can count
    public async Task AJobThatAsksForMoreThanThereCanBe_IsRefusedThat_AndTheWorkerLives(long elements)
    {
        await using var cluster = new WorkerTestCluster();
        string a = cluster.NewModel("a");
        await cluster.StartWorkerAsync(configure: options => options with { Models = [a] });
        StateChanged end = await cluster.WaitForEndAsync(await cluster.SubmitAsync(a, TestPrograms.HugeTensor(a, elements)));
        Assert.Equal(JobState.Failed, end.State);
        Assert.Contains(end.Error.Code, (ErrorCode[])[ErrorCode.LimitExceeded, ErrorCode.OutOfMemory]);
        await cluster.RunAsync(a);
    }
}
