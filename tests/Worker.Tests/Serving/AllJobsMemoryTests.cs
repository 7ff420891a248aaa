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
        StateChanged end = await _cluster.WaitForEndAsync(second);
        Assert.True(end.State is JobState.Completed, $"{end}");
        Assert.InRange((await _cluster.Backend.Jobs.GetAsync(second, WorkerTestCluster.Cancel))!.Attempt, 2u, 5u);
    }

    [Fact]
    public async Task TheJobsOfOneOwner_LeaveMemoryForThoseOfAnother()
    {
        string model = await StartAsync();
        List<string> eves = [];
        foreach (int tensors in (int[])[7, 3, 2]) // 48 MiB
        {
            eves.Add(await _cluster.SubmitAsync(model, TestPrograms.WaitWithLiveTensors(model, tensors, 20), owner: "eve"));
            await WaitUntilOneHoldsItsMemoryOrHasReturnedAsync(eves);
        }
        string anas = await _cluster.SubmitAsync(model, TestPrograms.HugeTensor(model, 1_250_000)); // 5 MB, and as much to save
        Assert.Equal((JobState.Completed, 1u), await GetEndAsync(anas));
    }

    [Fact]
    public async Task AnOwnerThatLacksMemory_GetsItsShare_WhileAnotherTakesAllItCan()
    {
        string model = await StartAsync();
        using var stop = new CancellationTokenSource();
        Task[] eves = [.. Enumerable.Range(0, 5).Select(_ => RunEvesAsync())];
        await _cluster.WaitUntilAsync(() => Task.FromResult(_evesEnded), ended => ended >= 5);
        string anas = await _cluster.SubmitAsync(model, TestPrograms.ManyLiveTensors(model, 4));
        (JobState state, uint attempt) = await GetEndAsync(anas);
        Assert.Equal(JobState.Completed, state);
        Assert.InRange(attempt, 1u, 3u);
        await stop.CancelAsync();
        await Task.WhenAll(eves);

        async Task RunEvesAsync()
        {
            while (!stop.IsCancellationRequested)
            {
                string job = await _cluster.SubmitAsync(model, TestPrograms.WaitWithLiveTensors(model, 4, 0.5), owner: "eve");
                await _cluster.WaitForEndAsync(job);
                Interlocked.Increment(ref _evesEnded);
            }
        }
    }

    [Fact]
    public async Task AJobThatWaitsForMemory_HoldsNoModel()
    {
        string model = await StartAsync(), other = _cluster.NewModel("other");
        await _cluster.DeployAsync(other);
        List<string> eves = [await _cluster.SubmitAsync(model, TestPrograms.WaitWithLiveTensors(model, 7, 600), owner: "eve")];
        await WaitUntilOneHoldsItsMemoryOrHasReturnedAsync(eves);
        string anas = await _cluster.SubmitAsync(other, TestPrograms.ManyLiveTensors(other, 6));
        await _cluster.WaitUntilAsync(() => HasReturnedAsync(anas, WorkerTestCluster.Cancel).AsTask(), hasReturned => hasReturned);
        await _cluster.Backend.Deployments.RemoveAsync(other, WorkerTestCluster.Cancel);
        await _cluster.WaitForLoadedModelsAsync("model");
        Assert.True(await HasReturnedAsync(anas, WorkerTestCluster.Cancel));
    }

    private int _evesEnded;

    private async Task<(JobState State, uint Attempt)> GetEndAsync(string job)
    {
        StateChanged end = await _cluster.WaitForEndAsync(job);
        return (end.State, end.Attempt);
    }

    private async Task WaitUntilOneHoldsItsMemoryOrHasReturnedAsync(List<string> jobs)
    {
        Task<bool> holds = _cluster.Backend.Jobs.WatchAsync(jobs[^1], 1, WorkerTestCluster.Cancel)
            .AnyAsync(e => e.Local is not null, WorkerTestCluster.Cancel).AsTask();
        await _cluster.WaitUntilAsync(
            async () => holds.IsCompleted || await jobs.ToAsyncEnumerable().AnyAsync(HasReturnedAsync, WorkerTestCluster.Cancel),
            isReached => isReached);
    }

    private async ValueTask<bool> HasReturnedAsync(string job, CancellationToken cancellationToken) =>
        await _cluster.Backend.Jobs.GetAsync(job, cancellationToken) is { State: JobState.Queued, Attempt: > 0 };

    private async Task<string> StartAsync()
    {
        string model = _cluster.NewModel("model");
        await _cluster.StartWorkerAsync(configure: options => options with
        {
            Models = [model], AllJobsMemory = 64L << 20, LocalCallTimeout = TimeSpan.FromMinutes(10),
        });
        return model;
    }
}
