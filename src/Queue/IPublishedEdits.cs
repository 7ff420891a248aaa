using Ndif.Protocol;

namespace Ndif.Queue;

/// <summary>
/// The edits of models that keys have published under names. They are kept until they are deleted. An owner's names are its own; a name
/// that is published for every key is that of one owner. There are two implementations, in memory and on Redis; both pass the same contract
/// test (tests/Queue.Tests/PublishedEditsContract.cs).
/// </summary>
public interface IPublishedEdits
{
    /// <summary>Adds edits, or replaces those that their owner has under the name.</summary>
    /// <param name="maxPerOwner">The most that an owner may have.</param>
    /// <param name="limits">The limits of what is stored; edits count as bytes of the queue. Null for none.</param>
    /// <exception cref="NdifException">
    /// BAD_ARGUMENT: another owner has published the name for every key. QUOTA_EXCEEDED: the owner has too many, or stores too much.
    /// UNAVAILABLE: all owners together store too much. UNAUTHENTICATED: the owner was closed (<see cref="IJobQueue.CloseOwnerAsync"/>).
    /// </exception>
    Task SetAsync(EditsInfo edits, int maxPerOwner, StorageLimits? limits, CancellationToken cancellationToken = default);

    /// <summary>Returns the edits that a name means for a key: its own, else those that are published for every key, else null.</summary>
    Task<EditsInfo?> FindAsync(string owner, string name, CancellationToken cancellationToken = default);

    /// <summary>
    /// Returns the edits that a key may use, by name, without their blobs (<see cref="EditsInfoExtensions.WithoutBlobs"/>). Its own are
    /// first among those of a name.
    /// </summary>
    Task<IReadOnlyList<EditsInfo>> ListAsync(string owner, CancellationToken cancellationToken = default);

    /// <summary>Reads the edits of all keys, with their blobs, one after the other.</summary>
    IAsyncEnumerable<EditsInfo> ReadAllAsync(CancellationToken cancellationToken = default);

    /// <summary>
    /// Completes what gateways of an earlier version have written: they count no bytes of edits, and write no summaries for lists. Until
    /// then a list may show an earlier version of edits that such a gateway has replaced.
    /// </summary>
    Task ReconcileAsync(CancellationToken cancellationToken = default);

    /// <summary>Deletes edits of an owner. Returns false if it has none of this name.</summary>
    Task<bool> RemoveAsync(string owner, string name, CancellationToken cancellationToken = default);
}
