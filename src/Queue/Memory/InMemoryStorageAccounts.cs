using Ndif.Protocol;
using Ndif.Queue.Rules;

namespace Ndif.Queue.Memory;

/// <summary>
/// The stored bytes of a service in a single process. The internal methods are called under the lock of the queue; the events of a job
/// count as their serialized size, as in Redis.
/// </summary>
internal sealed class InMemoryStorageAccounts(Lock queueLock, TimeProvider time) : IStorageAccounts
{
    private readonly Dictionary<string, StoredBytes> _owners = [];
    private readonly Dictionary<StoredUpload, DateTimeOffset> _uploads = [];
    private readonly List<DeletedJob> _deletedJobs = [];
    private readonly HashSet<string> _closedOwners = [];
    private StoredBytes _all = new(0, 0);

    internal Lock QueueLock => queueLock;

    /// <summary>Closes an owner whose key was revoked: it adds nothing from now on.</summary>
    internal void Close(string owner) => _closedOwners.Add(owner);

    internal bool IsClosed(string owner) => _closedOwners.Contains(owner);

    /// <summary>Adds to the counts of an owner.</summary>
    internal void Count(string owner, long queueBytes, long blobBytes)
    {
        StoredBytes own = GetOwn(owner);
        own = new StoredBytes(own.Queue + queueBytes, own.Blobs + blobBytes);
        if (own is { Queue: 0, Blobs: 0 }) _owners.Remove(owner);
        else _owners[owner] = own;
        _all = new StoredBytes(_all.Queue + queueBytes, _all.Blobs + blobBytes);
    }

    internal Exception? FindViolation(string owner, StorageLimits? limits, long moreQueueBytes, long moreBlobBytes) =>
        StorageRules.GetViolation(limits, GetOwn(owner), _all, moreQueueBytes, moreBlobBytes);

    /// <summary>Called when a job is deleted.</summary>
    internal void OnDeleted(InMemoryJob job)
    {
        Count(job.Submission.Owner, -job.QueueBytes, -job.BlobBytes);
        if (job.Blobs.Count > 0)
            _deletedJobs.Add(new DeletedJob(
                $"{job.QueueEntry.Number}", job.Submission.JobId, job.Submission.Owner, [.. job.Blobs.Distinct()]));
    }

    public Task<StoredBytes> GetAsync(string owner, CancellationToken cancellationToken = default)
    {
        lock (queueLock) return Task.FromResult(owner.Length == 0 ? _all : GetOwn(owner));
    }

    public Task RecordUploadAsync(
        string owner, BlobRef blob, StorageLimits? limits, TimeSpan checkAfter, CancellationToken cancellationToken = default)
    {
        var upload = new StoredUpload(owner, blob.Id, StorageRules.CountBlob(blob.Length));
        lock (queueLock)
        {
            if (IsClosed(owner)) return Task.FromException(QueueErrors.OwnerClosed());
            if (!_uploads.ContainsKey(upload))
            {
                if (FindViolation(owner, limits, StorageRules.UploadBytes, upload.Bytes) is { } violation)
                    return Task.FromException(violation);
                Count(owner, StorageRules.UploadBytes, upload.Bytes);
            }
            _uploads[upload] = time.GetUtcNow() + checkAfter;
        }
        return Task.CompletedTask;
    }

    public Task<IReadOnlyList<StoredUpload>> ListUploadsToCheckAsync(
        int limit, TimeSpan checkAfter, CancellationToken cancellationToken = default)
    {
        lock (queueLock)
        {
            DateTimeOffset now = time.GetUtcNow();
            StoredUpload[] due =
                [.. _uploads.Where(upload => upload.Value <= now).OrderBy(upload => upload.Value).Take(limit).Select(upload => upload.Key)];
            foreach (StoredUpload upload in due) _uploads[upload] = now + checkAfter;
            return Task.FromResult<IReadOnlyList<StoredUpload>>(due);
        }
    }

    public Task RemoveUploadsAsync(IReadOnlyCollection<StoredUpload> uploads, CancellationToken cancellationToken = default)
    {
        lock (queueLock)
            foreach (StoredUpload upload in uploads.Where(_uploads.Remove)) Count(upload.Owner, -StorageRules.UploadBytes, -upload.Bytes);
        return Task.CompletedTask;
    }

    public Task<IReadOnlyList<DeletedJob>> ListDeletedJobsAsync(int limit, CancellationToken cancellationToken = default)
    {
        lock (queueLock) return Task.FromResult<IReadOnlyList<DeletedJob>>([.. _deletedJobs.Take(limit)]);
    }

    public Task RemoveDeletedJobAsync(DeletedJob job, CancellationToken cancellationToken = default)
    {
        lock (queueLock) _deletedJobs.RemoveAll(deleted => deleted.Key == job.Key);
        return Task.CompletedTask;
    }

    private StoredBytes GetOwn(string owner) => _owners.GetValueOrDefault(owner) ?? new StoredBytes(0, 0);
}
