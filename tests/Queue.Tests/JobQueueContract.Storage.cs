using Google.Protobuf;
using Ndif.Protocol;

namespace Ndif.Queue.Tests;

/// <summary>The bytes that owners store are counted and limited.</summary>
public abstract partial class JobQueueContract
{
    private static readonly StorageLimits _largeStorage = new(1 << 30, 1 << 30, 1 << 30, 1 << 30);

    private Task<JobInfo> SubmitAsync(string id, StorageLimits limits, string owner = "ana", int programBytes = 1000) =>
        _fixture.Queue.SubmitAsync(
            new JobSubmission(id, owner, "gpt2", new byte[programBytes]) { Storage = limits }, Cancel);

    private Task<bool> SaveBlobAsync(Lease lease, long bytes) => _fixture.Queue.PublishAsync(lease, new Event
    {
        Value = new SavedValue { Data = new Data { Tensor = new Tensor { Blob = NewBlob(bytes) } } },
    }, Cancel);

    private static BlobRef NewBlob(long bytes) => new() { Id = $"{Guid.NewGuid():n}{Guid.NewGuid():n}", Length = (ulong)bytes };

    [Fact(Timeout = Limit)]
    public async Task StoredBytes_AreThoseOfTheOwnersJobs_AndDeletedOnesCountNoLonger()
    {
        IStorageAccounts storage = _fixture.Queue.Storage;
        await SubmitAsync("a", _largeStorage, programBytes: 100_000);
        await SubmitAsync("b", _largeStorage, owner: "ben");
        StoredBytes submitted = await storage.GetAsync("ana", Cancel);
        Assert.InRange(submitted.Queue, 100_000, 110_000);
        Assert.Equal(0, submitted.Blobs);
        Lease lease = await _fixture.LeaseAsync();
        Assert.True(await _fixture.LogAsync(lease, new string('x', 50_000)));
        Assert.True(await SaveBlobAsync(lease, 1_000_000));
        StoredBytes running = await storage.GetAsync("ana", Cancel);
        Assert.InRange(running.Queue - submitted.Queue, 50_000, 52_000);
        Assert.InRange(running.Blobs, 1_000_000, 1_010_000);
        await _fixture.PublishAsync(lease, JobState.Completed);
        Assert.InRange((await storage.GetAsync("ana", Cancel)).Queue, 50_000, 60_000); // the program is not kept
        StoredBytes all = await storage.GetAsync("", Cancel), ben = await storage.GetAsync("ben", Cancel);
        Assert.Equal((await storage.GetAsync("ana", Cancel)).Queue + ben.Queue, all.Queue);

        await _fixture.Queue.DeleteAsync("a", Cancel);
        Assert.Equal(new StoredBytes(0, 0), await storage.GetAsync("ana", Cancel));
        await _fixture.Queue.CancelAsync("b", "", Cancel);
        await _fixture.AdvanceAsync(TimeSpan.FromHours(25));
        await _fixture.Queue.ReapExpiredLeasesAsync(Cancel);
        Assert.Equal(new StoredBytes(0, 0), await storage.GetAsync("", Cancel));
    }

    [Fact(Timeout = Limit)]
    public async Task AJobThatStoresTooMuch_EndsWithTheQuota_AndTheOwnersNextJobIsRefusedUntilItIsDeleted()
    {
        StorageLimits limits = _largeStorage with { QueueBytes = 200_000 };
        await SubmitAsync("a", limits);
        Lease lease = await _fixture.LeaseAsync();
        int stored = 0;
        while (await _fixture.LogAsync(lease, new string('x', 30_000))) Assert.InRange(++stored, 1, 6);
        await WaitForLostAsync(lease);
        Event last = (await _fixture.WatchAsync("a"))[^1];
        Assert.Equal((JobState.Failed, ErrorCode.QuotaExceeded), (last.State.State, last.State.Error.Code));
        Assert.Contains("your key may have 200,000", last.State.Error.Message, StringComparison.Ordinal);
        Assert.Contains("ndif jobs delete", last.State.Error.Hint, StringComparison.Ordinal);
        Assert.False(await _fixture.LogAsync(lease, "late"));

        NdifException refusal = (await RefusalAsync(SubmitAsync("b", limits, programBytes: 30_000)))!;
        Assert.Equal(ErrorCode.QuotaExceeded, refusal.Code);
        await SubmitAsync("b", limits, owner: "ben", programBytes: 30_000); // another owner is not affected
        await _fixture.Queue.DeleteAsync("a", Cancel);
        await SubmitAsync("b2", limits, programBytes: 30_000);
    }

    /// <summary>The worker deletes the blobs of an event that is not published.</summary>
    [Fact(Timeout = Limit)]
    public async Task BlobsBeyondTheQuota_EndTheJob_AndDoNotCount_ThoseBefore_AreListedForDeletionWithIt()
    {
        IStorageAccounts storage = _fixture.Queue.Storage;
        StorageLimits limits = _largeStorage with { BlobBytes = 3_000_000, AllBlobBytes = 5_000_000 };
        await SubmitAsync("other", limits, owner: "ben");
        await SubmitAsync("a", limits);
        Lease other = await _fixture.LeaseAsync(), lease = await _fixture.LeaseAsync();
        Assert.True(await SaveBlobAsync(other, 2_500_000));
        Assert.True(await SaveBlobAsync(lease, 2_000_000));
        StoredBytes before = await storage.GetAsync("ana", Cancel), all = await storage.GetAsync("", Cancel);
        Assert.False(await SaveBlobAsync(lease, 2_000_000));
        Assert.Equal(ErrorCode.QuotaExceeded, (await _fixture.GetInfoAsync("a")).Error.Code);
        StoredBytes after = await storage.GetAsync("ana", Cancel);
        Assert.Equal((before.Blobs, all.Blobs), (after.Blobs, (await storage.GetAsync("", Cancel)).Blobs));
        Assert.InRange(after.Queue, before.Queue - 1000, before.Queue + 1000); // the error of the job in place of its program
        await SubmitAsync("b", limits);
        Assert.False(await SaveBlobAsync(other, 600_000)); // of its owner's quota
        Assert.Equal(all.Blobs, (await storage.GetAsync("", Cancel)).Blobs);

        Assert.Empty(await storage.ListDeletedJobsAsync(10, Cancel));
        await _fixture.AdvanceAsync(TimeSpan.FromHours(25));
        await _fixture.Queue.ReapExpiredLeasesAsync(Cancel);
        IReadOnlyList<DeletedJob> deletedJobs = await storage.ListDeletedJobsAsync(10, Cancel);
        Assert.Equal(["a ana 1", "other ben 1"], deletedJobs.Select(job => $"{job.JobId} {job.Owner} {job.Blobs.Count}").Order());
        await SubmitAsync("a", limits); // the id is free again
        foreach (DeletedJob deleted in deletedJobs) await storage.RemoveDeletedJobAsync(deleted, Cancel);
        Assert.Empty(await storage.ListDeletedJobsAsync(10, Cancel));
        Assert.Equal(0, (await storage.GetAsync("", Cancel)).Blobs);
    }

    [Fact(Timeout = Limit)]
    public async Task TheLimitsOfAllOwners_RefuseAsUnavailable()
    {
        StorageLimits limits = _largeStorage with { AllQueueBytes = 30_000 };
        await SubmitAsync("a", limits, programBytes: 20_000);
        NdifException refusal = (await RefusalAsync(SubmitAsync("b", limits, owner: "ben", programBytes: 20_000)))!;
        Assert.Equal((ErrorCode.Unavailable, true), (refusal.Code, refusal.Error.Retryable));
        Assert.Contains("TotalQueueBytes", refusal.Error.Hint, StringComparison.Ordinal);
    }

    [Fact(Timeout = Limit)]
    public async Task AnswersToAJob_CountUntilTheyAreTaken()
    {
        StorageLimits limits = _largeStorage with { QueueBytes = 200_000 };
        await SubmitAsync("a", limits);
        Lease lease = await _fixture.LeaseAsync();
        ulong ticket = 0;
        NdifException? refusal = null;
        var text = new Data { Text = new string('x', 50_000) };
        while (refusal is null && ticket < 10)
            refusal = await RefusalAsync(_fixture.Queue.ReplyAsync("a", new LocalReply { Ticket = ++ticket, Value = text }, Cancel));
        Assert.Equal((ErrorCode.QuotaExceeded, 4UL), (refusal!.Code, ticket));
        Assert.NotNull(await _fixture.Queue.AwaitReplyAsync(lease, 1, TimeSpan.Zero, Cancel));
        Assert.NotNull(await _fixture.Queue.AwaitReplyAsync(lease, 2, TimeSpan.Zero, Cancel)); // frees the first one
        await _fixture.Queue.ReplyAsync("a", new LocalReply { Ticket = ticket, Value = text }, Cancel);
        await _fixture.Queue.ReturnAsync(lease, Cancel);
        Assert.InRange((await _fixture.Queue.Storage.GetAsync("ana", Cancel)).Queue, 1000, 20_000);
    }

    [Fact(Timeout = Limit)]
    public async Task Uploads_CountOnce_AndAreCheckedUntilTheyAreRemoved()
    {
        IStorageAccounts storage = _fixture.Queue.Storage;
        StorageLimits limits = _largeStorage with { BlobBytes = 1_500_000 };
        BlobRef first = NewBlob(1_000_000), second = NewBlob(1_000_000);
        await storage.RecordUploadAsync("ana", first, limits, TimeSpan.FromHours(1), Cancel);
        await storage.RecordUploadAsync("ana", first, limits, TimeSpan.Zero, Cancel);
        NdifException refusal = (await RefusalAsync(storage.RecordUploadAsync("ana", second, limits, TimeSpan.Zero, Cancel)))!;
        Assert.Equal(ErrorCode.QuotaExceeded, refusal.Code);
        await storage.RecordUploadAsync("ben", second, limits, TimeSpan.FromHours(1), Cancel);
        StoredUpload due = Assert.Single(await storage.ListUploadsToCheckAsync(10, TimeSpan.FromHours(1), Cancel));
        Assert.Equal(("ana", first.Id), (due.Owner, due.BlobId));
        Assert.Empty(await storage.ListUploadsToCheckAsync(10, TimeSpan.FromHours(1), Cancel));
        await storage.RemoveUploadsAsync([due], Cancel);
        await storage.RemoveUploadsAsync([due], Cancel);
        Assert.Equal(new StoredBytes(0, 0), await storage.GetAsync("ana", Cancel));
        await storage.RecordUploadAsync("ana", second, limits, TimeSpan.Zero, Cancel);
    }

    [Fact(Timeout = Limit)]
    public async Task AnUploadThatEndsAfterTheKeyWasRevoked_IsRefused()
    {
        IStorageAccounts storage = _fixture.Queue.Storage;
        await storage.RecordUploadAsync("ana", NewBlob(1000), null, TimeSpan.Zero, Cancel);
        StoredBytes before = await storage.GetAsync("ana", Cancel);
        await _fixture.Queue.CloseOwnerAsync("ana", "Its key was revoked.", Cancel);
        NdifException refusal = (await RefusalAsync(storage.RecordUploadAsync("ana", NewBlob(1000), null, TimeSpan.Zero, Cancel)))!;
        Assert.Equal(ErrorCode.Unauthenticated, refusal.Code);
        Assert.Equal(before, await storage.GetAsync("ana", Cancel));
        await storage.RecordUploadAsync("ben", NewBlob(1000), null, TimeSpan.Zero, Cancel);
    }

    [Fact(Timeout = Limit)]
    public async Task EndedJobs_AreCountedByOutcome()
    {
        foreach (string id in (string[])["a", "b", "c", "d"]) await _fixture.SubmitAsync(id);
        await _fixture.PublishAsync(await _fixture.LeaseAsync(), JobState.Completed);
        await _fixture.PublishAsync(await _fixture.LeaseAsync(), JobState.Failed);
        await _fixture.Queue.PublishAsync(await _fixture.LeaseAsync(), new Event
        {
            State = new StateChanged { State = JobState.Failed, Error = new Error { Code = ErrorCode.JobTimeout } },
        }, Cancel);
        await _fixture.Queue.CancelAsync("d", "", Cancel);
        QueueCounts counts = await _fixture.Queue.CountAsync(Cancel);
        Assert.Equal((1, 2, 1, 1), (counts.Completed, counts.Failed, counts.TimedOut, counts.Cancelled));
    }
}
