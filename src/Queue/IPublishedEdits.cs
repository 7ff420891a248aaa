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
    /// <exception cref="NdifException">
    /// BAD_ARGUMENT: another owner has published the name for every key. QUOTA_EXCEEDED: the owner has too many.
    /// </exception>
    Task SetAsync(EditsInfo edits, int maxPerOwner, CancellationToken cancellationToken = default);

    /// <summary>Returns the edits that a name means for a key: its own, else those that are published for every key, else null.</summary>
    Task<EditsInfo?> FindAsync(string owner, string name, CancellationToken cancellationToken = default);

    /// <summary>Returns the edits that a key may use, by name; its own are first among those of a name.</summary>
    /// <param name="owner">Empty for all edits of all keys.</param>
    Task<IReadOnlyList<EditsInfo>> ListAsync(string owner, CancellationToken cancellationToken = default);

    /// <summary>Deletes edits of an owner. Returns false if it has none of this name.</summary>
    Task<bool> RemoveAsync(string owner, string name, CancellationToken cancellationToken = default);
}
