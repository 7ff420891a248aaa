using Ndif.Protocol;
using Ndif.Worker.Tests.Support;

namespace Ndif.Worker.Tests.Serving;

/// <summary>What jobs share on one model, and what they do not.</summary>
public sealed class SharedModelTests
{
    [Fact]
    public async Task ALaterJobOfTheSameOwner_ReusesLayers_AndItsUsageSaysSo()
    {
        await using var cluster = new WorkerTestCluster();
        string a = cluster.NewModel("a");
        await cluster.StartWorkerAsync(configure: options => options with { Models = [a] });
        Usage first = (await cluster.RunAsync(a))[^1].State.Usage, second = (await cluster.RunAsync(a))[^1].State.Usage;
        Assert.Equal((0ul, 2ul), (first.ReusedLayers, second.ReusedLayers));
        Assert.Equal(first.Tokens, second.Tokens);
    }

    [Fact]
    public async Task AGenerationWhoseKeysAndValuesCannotFit_RunsOutOfMemory()
    {
        await using var cluster = new WorkerTestCluster();
        string a = cluster.NewModel("a", hiddenSize: 256, layers: 4);
        await cluster.StartWorkerAsync(configure: options => options with { Models = [a], Memory = 1 << 30, CacheMemory = 1 << 20 });
        StateChanged end = await cluster.WaitForEndAsync(await cluster.SubmitAsync(a, TestPrograms.Generation(a, batch: 3, newTokens: 40)));
        Assert.Equal((JobState.Failed, ErrorCode.OutOfMemory), (end.State, end.Error.Code));
        Assert.Contains("1,048,576", end.Error.Message, StringComparison.Ordinal);
        Assert.Equal(JobState.Completed, (await cluster.WaitForEndAsync(await cluster.SubmitAsync(a))).State);
    }
}
