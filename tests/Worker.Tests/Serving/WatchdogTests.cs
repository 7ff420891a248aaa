using Ndif.Protocol;
using Ndif.Worker.Tests.Support;

namespace Ndif.Worker.Tests.Serving;

/// <summary>
/// The thread of a model is in a call that looks at no cancellation: it reads a constant from a disk that does not answer. The end of the
/// process is a callback here; tests/EndToEnd.Tests/UnresponsiveCallTests.cs has real processes.
/// </summary>
public sealed class WatchdogTests : IAsyncDisposable
{
    private readonly WorkerTestCluster _cluster = new();
    private readonly StuckBlobStore _blobs = new();
    private readonly TaskCompletionSource _processEnded = new(TaskCreationOptions.RunContinuationsAsynchronously);

    public async ValueTask DisposeAsync()
    {
        _blobs.Release();
        await _cluster.DisposeAsync(); // ends the thread that is stuck
        _blobs.Dispose();
    }

    [Fact]
    public async Task AJobOverItsLimit_FailsByName_AndTheOtherReturns()
    {
        string model = await StartStuckWorkerAsync();
        string suspect = await _cluster.SubmitAsync(model, TestPrograms.UploadedConstant(model), TimeSpan.FromSeconds(1));
        await _blobs.Entered;
        string other = await _cluster.SubmitAsync(model);
        await _cluster.WaitForStateAsync(other, JobState.Running);
        await _processEnded.Task.WaitAsync(TimeSpan.FromSeconds(30), WorkerTestCluster.Cancel);

        StateChanged end = await _cluster.WaitForEndAsync(suspect);
        Assert.Equal((JobState.Failed, ErrorCode.JobTimeout, 0u), (end.State, end.Error.Code, end.Error.Node));
        Assert.Contains("ran longer than 1 s, and sum() did not end", end.Error.Message, StringComparison.Ordinal);
        Assert.InRange(end.Usage.ComputeSeconds, 0.9, 1.1);
        JobInfo returned = (await _cluster.Backend.Jobs.GetAsync(other, WorkerTestCluster.Cancel))!;
        Assert.True(returned is { State: JobState.Queued, Attempt: 1 }, $"{returned}");
        await _cluster.StartWorkerAsync("w2", configure: options => options with { Models = [model] });
        Assert.Equal(JobState.Completed, (await _cluster.WaitForEndAsync(other)).State);
        Assert.Equal(1, _cluster.Logs.Count($"Job {suspect} of ana does not end: sum()"));
    }

    [Fact]
    public async Task AJobWithinItsLimit_IsNotDisturbed()
    {
        string model = await StartStuckWorkerAsync();
        string slow = await _cluster.SubmitAsync(model, TestPrograms.UploadedConstant(model));
        await _blobs.Entered;
        await Assert.ThrowsAsync<TimeoutException>(
            () => _processEnded.Task.WaitAsync(TimeSpan.FromSeconds(1.5), WorkerTestCluster.Cancel));
        _blobs.Release();
        Assert.Equal(JobState.Failed, (await _cluster.WaitForEndAsync(slow)).State); // the disk did not answer
        await _cluster.RunAsync(model);
    }

    [Fact]
    public async Task AJobThatAnOperatorKills_EndsTheWorkerWithinSeconds()
    {
        string model = await StartStuckWorkerAsync(TimeSpan.FromMinutes(10));
        string suspect = await _cluster.SubmitAsync(model, TestPrograms.UploadedConstant(model));
        await _blobs.Entered;
        await _cluster.Backend.Jobs.CancelAsync(suspect, "An operator killed it", WorkerTestCluster.Cancel);
        await _cluster.Backend.Deployments.SendOrderAsync("w1", new WorkerOrder { Kill = suspect }, WorkerTestCluster.Cancel);
        await _processEnded.Task.WaitAsync(TimeSpan.FromSeconds(30), WorkerTestCluster.Cancel);
        Assert.Equal(JobState.Cancelled, (await _cluster.WaitForEndAsync(suspect)).State);
    }

    [Fact]
    public async Task AWorkerThatStops_ReturnsAllOfItsJobs()
    {
        string model = await StartStuckWorkerAsync();
        string slow = await _cluster.SubmitAsync(model, TestPrograms.UploadedConstant(model));
        await _blobs.Entered;
        _cluster.StopWorker();
        await _processEnded.Task.WaitAsync(TimeSpan.FromSeconds(30), WorkerTestCluster.Cancel);
        JobInfo returned = (await _cluster.Backend.Jobs.GetAsync(slow, WorkerTestCluster.Cancel))!;
        Assert.True(returned is { State: JobState.Queued, Attempt: 1 }, $"{returned}");
    }

    private async Task<string> StartStuckWorkerAsync(TimeSpan? timeout = null)
    {
        string model = _cluster.NewModel("model");
        await _cluster.StartWorkerAsync(
            configure: options => options with { Models = [model], UnresponsiveTimeout = timeout ?? TimeSpan.FromSeconds(0.5) },
            blobs: _blobs, endProcess: () => _processEnded.TrySetResult());
        return model;
    }
}
