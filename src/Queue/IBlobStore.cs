using Ndif.Protocol;

namespace Ndif.Queue;

/// <summary>
/// Stores large tensors: the constants of a program, identified by the SHA-256 of their bytes (lower-case hex), and results, identified
/// by random ids of the same length that cannot be guessed. Every blob has a time to live.
/// </summary>
public interface IBlobStore
{
    /// <summary>Returns the memory of this process that an upload of so many bytes takes until it is stored, in bytes.</summary>
    long GetUploadMemory(long length) => 0;

    /// <summary>Stores the bytes that <paramref name="write"/> writes, identified by their hash. Equal bytes are stored once.</summary>
    Task<BlobRef> PutAsync(Func<Stream, CancellationToken, Task> write, CancellationToken cancellationToken = default);

    /// <summary>
    /// Stores bytes as <see cref="PutAsync"/> and grants them to an owner, in such an order that nobody who takes back the last grant of
    /// the same bytes at that time deletes them.
    /// </summary>
    /// <param name="getOwner">
    /// Returns the owner of the blob that has been written; it may throw to refuse it, and then nothing is stored.
    /// </param>
    Task<BlobRef> PutGrantedAsync(
        Func<Stream, CancellationToken, Task> write, Func<BlobRef, string> getOwner, CancellationToken cancellationToken = default);

    /// <summary>
    /// Stores the bytes that <paramref name="write"/> writes under a random id, with a checksum that is computed at memory speed. Use it
    /// for results, which are large and hardly ever equal.
    /// </summary>
    Task<BlobRef> PutNewAsync(Func<Stream, CancellationToken, Task> write, CancellationToken cancellationToken = default);

    /// <summary>Opens a blob for reading (seekable). Returns null if there is no such blob or it has expired.</summary>
    Task<Stream?> OpenAsync(string id, CancellationToken cancellationToken = default);

    /// <summary>Returns whether the blob exists and has not expired.</summary>
    Task<bool> ExistsAsync(string id, CancellationToken cancellationToken = default);

    /// <summary>
    /// Allows an owner to read a blob. The reason is the id of the job it belongs to, or empty for a blob that the owner uploaded.
    /// </summary>
    /// <exception cref="NdifException">UNKNOWN_BLOB: there is no such blob, or it has just been deleted.</exception>
    Task GrantAsync(string id, string owner, string reason = "", CancellationToken cancellationToken = default);

    /// <summary>
    /// Revokes a grant. A blob without any grant is deleted, unless somebody stores or is granted the same bytes at this time.
    /// </summary>
    /// <returns>
    /// True if the owner can no longer read the blob. False if the owner has another grant (from another job or an upload), or had none.
    /// </returns>
    Task<bool> RevokeAsync(string id, string owner, string reason = "", CancellationToken cancellationToken = default);

    /// <summary>Returns whether the owner may read the blob.</summary>
    Task<bool> CanReadAsync(string id, string owner, CancellationToken cancellationToken = default);

    /// <summary>Deletes expired blobs and returns how many were deleted.</summary>
    Task<int> DeleteExpiredAsync(CancellationToken cancellationToken = default);
}
