using Ndif.Protocol;
using Ndif.Queue.Rules;

namespace Ndif.Queue;

/// <summary>
/// Counts the bytes that owners store: their jobs in the queue, and blobs. A job counts from its submission to its deletion, an upload
/// while the blob store keeps it, published edits until they are deleted. The queue counts jobs and edits itself, and checks the limits
/// where bytes are added.
/// </summary>
public interface IStorageAccounts
{
    /// <summary>Returns what an owner stores.</summary>
    /// <param name="owner">Empty for all owners together.</param>
    Task<StoredBytes> GetAsync(string owner, CancellationToken cancellationToken = default);

    /// <summary>Checks that an owner may store more blobs.</summary>
    /// <exception cref="NdifException">QUOTA_EXCEEDED or UNAVAILABLE: it may not.</exception>
    async Task ThrowIfFullAsync(string owner, StorageLimits limits, CancellationToken cancellationToken = default)
    {
        StoredBytes own = await GetAsync(owner, cancellationToken), all = await GetAsync("", cancellationToken);
        if (StorageRules.GetViolation(limits, own, all, 0, 1) is { } violation) throw violation;
    }

    /// <summary>Counts an uploaded blob. The same blob of the same owner counts once.</summary>
    /// <param name="checkAfter">The time after which <see cref="ListUploadsToCheckAsync"/> returns it.</param>
    /// <exception cref="NdifException">
    /// QUOTA_EXCEEDED or UNAVAILABLE: the owner may not store it. UNAUTHENTICATED: the owner was closed. It is not counted.
    /// </exception>
    Task RecordUploadAsync(
        string owner, BlobRef blob, StorageLimits? limits, TimeSpan checkAfter, CancellationToken cancellationToken = default);

    /// <summary>Returns uploads that may have been deleted meanwhile, and postpones the next check of each.</summary>
    Task<IReadOnlyList<StoredUpload>> ListUploadsToCheckAsync(
        int limit, TimeSpan checkAfter, CancellationToken cancellationToken = default);

    /// <summary>Counts these uploads no longer.</summary>
    Task RemoveUploadsAsync(IReadOnlyCollection<StoredUpload> uploads, CancellationToken cancellationToken = default);

    /// <summary>Returns deleted jobs whose blobs are to be deleted, also those that passed their retention time.</summary>
    Task<IReadOnlyList<DeletedJob>> ListDeletedJobsAsync(int limit, CancellationToken cancellationToken = default);

    /// <summary>Called when the blobs of a deleted job have been deleted.</summary>
    Task RemoveDeletedJobAsync(DeletedJob job, CancellationToken cancellationToken = default);
}

/// <summary>A blob that an owner has uploaded.</summary>
/// <param name="Bytes">The bytes of the blob as they count.</param>
public sealed record StoredUpload(string Owner, string BlobId, long Bytes);

/// <summary>A job that was deleted, with the blobs of its events.</summary>
/// <param name="Key">Identifies the job also if its id is used again.</param>
public sealed record DeletedJob(string Key, string JobId, string Owner, IReadOnlyList<string> Blobs);
