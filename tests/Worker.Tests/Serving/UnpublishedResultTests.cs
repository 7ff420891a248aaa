using Ndif.Protocol;
using Ndif.Queue;
using Ndif.Queue.Blobs;
using Ndif.Worker.Serving;
using Ndif.Worker.Tests.Support;

namespace Ndif.Worker.Tests.Serving;

/// <summary>
/// The blobs that no published event names count for no quota: they are deleted when their job ends, however it ends. The jobs save a
/// list, whose first tensor is written while the second waits for the disk.
/// </summary>
public sealed class UnpublishedResultTests : IAsyncDisposable
{
    private const long Mebi = 1 << 20;

    private static readonly TimeSpan _timeout = TimeSpan.FromSeconds(60);

    private readonly WorkerTestCluster _cluster = new();
    private readonly GatedBlobStore _disk;

    public UnpublishedResultTests() => _disk = new GatedBlobStore(_cluster.Backend.Blobs) { FreeWrites = 1 };

    public async ValueTask DisposeAsync()
    {
        _disk.Open();
        await _cluster.DisposeAsync();
    }

    [Fact]
    public async Task ACancelledJob_LeavesNoBlob()
    {
        string job = await SubmitAsync(await StartAsync());
        await _cluster.Backend.Jobs.CancelAsync(job, "", WorkerTestCluster.Cancel);
        Assert.Equal(JobState.Cancelled, (await _cluster.WaitForEndAsync(job)).State);
        await AssertNoBlobsAsync();
    }

    [Fact]
    public async Task AJobOverItsTimeLimit_LeavesNoBlob()
    {
        string job = await SubmitAsync(await StartAsync(), limit: TimeSpan.FromSeconds(1));
        Assert.Equal(ErrorCode.JobTimeout, (await _cluster.WaitForEndAsync(job)).Error.Code);
        await AssertNoBlobsAsync();
    }

    [Fact]
    public async Task AJobOnAFullDisk_LeavesNoBlob()
    {
        string job = await SubmitAsync(await StartAsync());
        _disk.Fail(new IOException("No space left on device"));
        Assert.Equal(ErrorCode.Unavailable, (await _cluster.WaitForEndAsync(job)).Error.Code);
        await AssertNoBlobsAsync();
    }

    [Fact]
    public async Task AJobWhoseEventIsOverItsLimit_LeavesNoBlob()
    {
        string job = await SubmitAsync(await StartAsync(), maxResultBytes: (12 * Mebi) + 1); // for the tensors, and not for the event
        _disk.Open();
        Assert.Equal(ErrorCode.LimitExceeded, (await _cluster.WaitForEndAsync(job)).Error.Code);
        await AssertNoBlobsAsync();
    }

    [Fact]
    public async Task AJobThatReturnsToTheQueue_LeavesNoBlob()
    {
        string job = await SubmitAsync(await StartAsync());
        _cluster.StopWorker();
        await _cluster.WaitForWorkerAsync();
        Assert.Equal(JobState.Queued, (await _cluster.Backend.Jobs.GetAsync(job, WorkerTestCluster.Cancel))!.State);
        await AssertNoBlobsAsync();
    }

    [Fact]
    public async Task ReferencesToATensor_AreWrittenAndCountedOnce()
    {
        string job = await SubmitAsync(await StartAsync());
        _disk.Open();
        List<Event> events = await _cluster.GetEventsAsync(job);
        Assert.True(events[^1].State.State is JobState.Completed, $"{events[^1]}");
        BlobRef[] saved = [.. Assert.Single(events, e => e.Value is not null).Value.Data.BlobTensors().Select(tensor => tensor.Blob)];
        Assert.Equal(3, saved.Length);
        Assert.Equal(saved[0].Id, saved[1].Id);
        Assert.NotEqual(saved[0].Id, saved[2].Id);
        Assert.Equal([.. new[] { saved[0].Id, saved[2].Id }.Order()], Blobs.Order());
        Assert.Equal(12ul * Mebi, events[^1].State.Usage.ResultBytes); // what the client receives
        StoredBytes stored = await _cluster.Backend.Jobs.Storage.GetAsync("ana", WorkerTestCluster.Cancel);
        Assert.InRange(stored.Blobs, 8 * Mebi, 9 * Mebi);
    }

    /// <summary>A disk may answer after the job has ended.</summary>
    [Fact]
    public async Task ABlobThatIsWrittenAfterTheEnd_IsDeleted()
    {
        Lease lease = await LeaseAsync();
        var value = new ValueBlobs(lease, _cluster.Backend.Blobs);
        await value.AddGrantedAsync(await WriteAsync());
        Assert.Single(Blobs);
        await value.RevokeUnpublishedAsync();
        Assert.Empty(Blobs);
        await value.AddGrantedAsync(await WriteAsync());
        Assert.Empty(Blobs);
        Assert.False(value.TryBeginPublishing());

        async Task<string> WriteAsync()
        {
            BlobRef blob = await _cluster.Backend.Blobs.PutNewAsync(
                (stream, cancelled) => stream.WriteAsync(new byte[] { 1, 2, 3 }, cancelled).AsTask(), WorkerTestCluster.Cancel);
            await _cluster.Backend.Blobs.GrantAsync(blob.Id, lease.Owner, lease.JobId, WorkerTestCluster.Cancel);
            return blob.Id;
        }
    }

    private string[] Blobs => [.. Directory.EnumerateFiles(
        ((DirectoryBlobStore)_cluster.Backend.Blobs).Folder, "*", SearchOption.AllDirectories)
        .Select(path => Path.GetFileName(path)).Where(name => name.Length == 64)];

    private Task AssertNoBlobsAsync() => _cluster.WaitUntilAsync(() => Task.FromResult(Blobs.Length), blobs => blobs == 0);

    private async Task<string> StartAsync()
    {
        string model = _cluster.NewModel("model");
        await _cluster.StartWorkerAsync(blobs: _disk, configure: options => options with { Models = [model] });
        return model;
    }

    /// <summary>Submits a job, and waits until one of its tensors is a blob and the other is being written.</summary>
    private async Task<string> SubmitAsync(string model, TimeSpan? limit = null, long? maxResultBytes = null)
    {
        string job = await _cluster.SubmitAsync(model, TestPrograms.SavesAList(model, Mebi), limit, maxResultBytes: maxResultBytes);
        await _disk.Entered.WaitAsync(_timeout, WorkerTestCluster.Cancel);
        Assert.Single(Blobs);
        return job;
    }

    private async Task<Lease> LeaseAsync()
    {
        await _cluster.SubmitAsync("model", new Program());
        return (await _cluster.Backend.Jobs.LeaseAsync("w1", ["model"], TimeSpan.Zero, WorkerTestCluster.Cancel))!;
    }
}
