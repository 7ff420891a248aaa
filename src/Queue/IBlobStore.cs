using Ndif.Protocol;

namespace Ndif.Queue;

/// <summary>
/// Large tensors: constants on their way to a worker, by the SHA-256 of their bytes (lower-case hex), and results on their way to a
/// client, by names as long that nobody can guess. Everything has a time to live.
/// </summary>
public interface IBlobStore
{
    /// <summary>Stores what <paramref name="write"/> writes; the same bytes are stored once.</summary>
    Task<BlobRef> PutAsync(Func<Stream, CancellationToken, Task> write, CancellationToken cancellationToken = default);

    /// <summary>
    /// Stores what <paramref name="write"/> writes under a name drawn by chance, with a checksum that is computed at the speed of memory:
    /// for results, which are many bytes and hardly ever the same twice.
    /// </summary>
    Task<BlobRef> PutNewAsync(Func<Stream, CancellationToken, Task> write, CancellationToken cancellationToken = default);

    /// <summary>Opens a blob for reading (seekable); null if it is not there or has expired.</summary>
    Task<Stream?> OpenAsync(string id, CancellationToken cancellationToken = default);

    Task<bool> ExistsAsync(string id, CancellationToken cancellationToken = default);

    /// <summary>Notes that this owner may read the blob, and what for: a job's id, or nothing for what the owner uploaded.</summary>
    /// <exception cref="NdifException">UNKNOWN_BLOB: it is not there, or has just been deleted.</exception>
    Task GrantAsync(string id, string owner, string reason = "", CancellationToken cancellationToken = default);

    /// <summary>
    /// Takes a grant back. Bytes that nobody may read any more are deleted. True if this owner may not read them now; false if another
    /// of his jobs, or he himself, still holds them, or they were not his.
    /// </summary>
    Task<bool> RevokeAsync(string id, string owner, string reason = "", CancellationToken cancellationToken = default);

    Task<bool> CanReadAsync(string id, string owner, CancellationToken cancellationToken = default);

    /// <summary>Deletes what has outlived its time.</summary>
    Task<int> DeleteExpiredAsync(CancellationToken cancellationToken = default);
}
