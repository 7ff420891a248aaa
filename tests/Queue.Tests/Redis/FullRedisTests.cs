using Ndif.Protocol;
using Ndif.Queue.Blobs;
using Ndif.Queue.Tests.Support;
using StackExchange.Redis;

namespace Ndif.Queue.Tests.Redis;

/// <summary>
/// A Redis that has reached its maxmemory stores nothing more for clients. It still frees memory, and keeps workers and running jobs alive.
/// </summary>
public sealed class FullRedisTests : IAsyncLifetime
{
    private readonly TempFolder _folder = new();
    private ChildProcess _server = null!;
    private ConnectionMultiplexer _connection = null!;
    private QueueBackend _backend = null!;

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    private IJobQueue Queue => _backend.Jobs;

    public async ValueTask InitializeAsync()
    {
        (_server, string address) = await RedisProcess.StartAsync(_folder.Path);
        _connection = await ConnectionMultiplexer.ConnectAsync($"{address},allowAdmin=true");
        _backend = QueueBackend.Redis(
            address, new QueueOptions { MaxAttempts = 1 }, new BlobOptions { Root = Path.Combine(_folder.Path, "blobs") });
    }

    public async ValueTask DisposeAsync()
    {
        await _backend.DisposeAsync();
        await _connection.DisposeAsync();
        await _server.DisposeAsync();
        _folder.Dispose();
    }

    [Fact]
    public async Task AFullRedis_StoresNothingMoreForClients()
    {
        await SubmitAsync("running");
        Lease lease = await LeaseAsync();
        await FillAsync();
        Func<Task>[] stores =
        [
            () => SubmitAsync("new"),
            () => Queue.PublishAsync(lease, new Event { Log = new LogLine { Text = "more" } }, Cancel),
            () => Queue.PublishAsync(lease, new Event
            {
                Value = new SavedValue { Data = new Data { Tensor = new Tensor { Blob = NewBlob() } } },
            }, Cancel),
            () => Queue.ReplyAsync("running", new LocalReply { Ticket = 1 }, Cancel),
            () => Queue.Storage.RecordUploadAsync("ana", NewBlob(), null, TimeSpan.Zero, Cancel),
            () => _backend.Edits.SetAsync(new EditsInfo { Owner = "ana", Name = "x" }, 9, null, Cancel),
        ];
        foreach (Func<Task> store in stores)
        {
            NdifException refused = await Assert.ThrowsAsync<NdifException>(store);
            Assert.Equal((ErrorCode.Unavailable, true), (refused.Code, refused.Retryable));
            Assert.Contains("the memory of Redis is full", refused.Message, StringComparison.Ordinal);
        }
    }

    [Fact]
    public async Task AFullRedis_StillDeletesAndCancels()
    {
        IDatabase database = _connection.GetDatabase();
        foreach (string id in (string[])["old", "deleted"])
        {
            await SubmitAsync(id);
            await EndAsync(await LeaseAsync());
        }
        await SubmitAsync("dead");
        await LeaseAsync();
        await SubmitAsync("running");
        Lease running = await LeaseAsync();
        for (int i = 0; i < 3; i++) await SubmitAsync($"waiting-{i}");
        await SubmitAsync("closed", "ben");
        await Queue.Storage.RecordUploadAsync("ana", NewBlob(), null, TimeSpan.Zero, Cancel);
        await _backend.Edits.SetAsync(new EditsInfo { Owner = "ana", Name = "x" }, 9, null, Cancel);
        await database.SortedSetAddAsync("ndif:leased", "dead", 0); // its worker is gone
        await database.SortedSetAddAsync("ndif:ended", "old ana", 0); // its retention time is over
        await FillAsync();

        Assert.True(await Queue.DeleteAsync("deleted", Cancel));
        Assert.Equal(1, await Queue.ReapExpiredLeasesAsync(Cancel));
        Assert.Null(await Queue.GetAsync("old", Cancel));
        Assert.Equal(JobState.Failed, (await Queue.GetAsync("dead", Cancel))?.State);
        Assert.Equal(JobState.Cancelled, (await Queue.CancelAsync("waiting-0", "", Cancel))?.State);
        Assert.Equal(JobState.Cancelled, (await Queue.CancelAsync("running", "", Cancel))?.State);
        Assert.False(await Queue.RenewAsync(running, Cancel));
        Assert.Equal(1, await Queue.CloseOwnerAsync("ben", "Its key was revoked.", Cancel));
        Assert.True(await _backend.Edits.RemoveAsync("ana", "x", Cancel));
        await Queue.Storage.RemoveUploadsAsync(
            await Queue.Storage.ListUploadsToCheckAsync(10, TimeSpan.FromHours(1), Cancel), Cancel);
        Assert.Equal(0, await database.SortedSetLengthAsync("ndif:uploads"));

        await EmptyAsync();
        Assert.Equal(ErrorCode.Unauthenticated, (await Assert.ThrowsAnyAsync<NdifException>(() => SubmitAsync("new", "ben"))).Code);
        await SubmitAsync("new");
    }

    [Fact]
    public async Task AFullRedis_KeepsWorkersAndRunningJobsAlive_AndJobsRunAndEnd()
    {
        ModelDescription model = new() { Id = "gpt2" };
        WorkerStatus worker = new() { Id = "w", Models = { "gpt2" } };
        await _backend.Workers.SetDescriptionAsync(model, Cancel);
        await SubmitAsync("running");
        await SubmitAsync("waiting");
        await SubmitAsync("given-back");
        Lease lease = await LeaseAsync();
        await Queue.ReplyAsync("running", new LocalReply { Ticket = 1, Value = new Data { Integer = 7 } }, Cancel);
        await _backend.Deployments.SendOrderAsync("w", new WorkerOrder { Kill = "stuck" }, Cancel);
        await FillAsync();

        await _backend.Workers.SetDescriptionAsync(model, Cancel); // as a worker that has restarted
        await _backend.Workers.PublishHeartbeatAsync(worker, [], Cancel);
        Assert.Equal("w", Assert.Single(await _backend.Workers.ListWorkersAsync(Cancel)).Id);
        Assert.True(await _backend.Deployments.ClaimReplicaAsync("gpt2", "w", 1, DateTimeOffset.UtcNow, Cancel));
        await _backend.Deployments.SendOrderAsync("w", new WorkerOrder { Drain = true }, Cancel);
        Assert.Equal(
            [new WorkerOrder { Kill = "stuck" }, new WorkerOrder { Drain = true }],
            await _backend.Deployments.DequeueOrdersAsync("w", Cancel));
        await Queue.FollowAsync(["running"], "gateway", TimeSpan.FromMinutes(1), Cancel);
        Assert.True(await Queue.RenewAsync(lease, Cancel));
        Assert.Equal(7, (await Queue.AwaitReplyAsync(lease, 1, TimeSpan.Zero, Cancel))?.Value.Integer);
        await EndAsync(lease);
        Lease waiting = await LeaseAsync(), givenBack = await LeaseAsync();
        await Queue.ReturnAsync(givenBack, Cancel);
        await EndAsync(waiting);
        await EndAsync(await LeaseAsync());
        QueueCounts counts = await Queue.CountAsync(Cancel);
        Assert.Equal((3L, 0, 0), (counts.Completed, counts.Waiting, counts.Running));
    }

    /// <summary>A worker publishes the events of a job in their order, so the outcome waits for a value that has no room.</summary>
    [Fact]
    public async Task AJobWithAValueToPublish_WaitsForMemory_AndCanBeCancelledMeanwhile()
    {
        await SubmitAsync("waits");
        await SubmitAsync("cancelled");
        Lease waits = await LeaseAsync(), cancelled = await LeaseAsync();
        await FillAsync();
        var value = new Event { Value = new SavedValue { Data = new Data { Integer = 7 } } };
        Task<bool>[] values =
            [.. new[] { waits, cancelled }.Select(lease => Queue.PublishWhenReachableAsync(lease, value, Cancel))];
        await Queue.CancelAsync("cancelled", "", Cancel);
        Assert.True(await Queue.RenewAsync(waits, Cancel));
        Assert.DoesNotContain(values, each => each.IsCompleted);

        await EmptyAsync();
        bool[] published = await Task.WhenAll(values);
        Assert.Equal([true, false], published);
        await EndAsync(waits);
        Assert.Equal(JobState.Completed, (await Queue.GetAsync("waits", Cancel))?.State);
        Assert.Equal(JobState.Cancelled, (await Queue.GetAsync("cancelled", Cancel))?.State);
    }

    private async Task EmptyAsync() => await _connection.GetServers()[0].ConfigSetAsync("maxmemory", 0);

    private async Task FillAsync() => await _connection.GetServers()[0].ConfigSetAsync("maxmemory", 1);

    private Task<JobInfo> SubmitAsync(string id, string owner = "ana") =>
        Queue.SubmitAsync(new JobSubmission(id, owner, "gpt2", new byte[] { 1 }), Cancel);

    private async Task<Lease> LeaseAsync() => (await Queue.LeaseAsync("w", ["gpt2"], TimeSpan.Zero, Cancel))!;

    /// <summary>Publishes the states of a job, as a worker does: it waits for the queue, and the outcome is behind RUNNING.</summary>
    private async Task EndAsync(Lease lease)
    {
        using CancellationTokenSource tooLong = CancellationTokenSource.CreateLinkedTokenSource(Cancel);
        tooLong.CancelAfter(TimeSpan.FromSeconds(20));
        foreach (JobState state in (JobState[])[JobState.Running, JobState.Completed])
            Assert.True(await Queue.PublishWhenReachableAsync(
                lease, new Event { State = new StateChanged { State = state } }, tooLong.Token));
    }

    private static BlobRef NewBlob() => new() { Id = $"{Guid.NewGuid():n}{Guid.NewGuid():n}", Length = 1000 };
}
