using System.Runtime.CompilerServices;
using Ndif.Protocol;
using Ndif.Queue.Rules;

namespace Ndif.Queue.Memory;

/// <summary>The published edits of a service in a single process.</summary>
internal sealed class InMemoryPublishedEdits(InMemoryStorageAccounts storage) : IPublishedEdits
{
    private readonly Lock _lock = storage.QueueLock;
    private readonly Dictionary<(string Owner, string Name), EditsInfo> _edits = [];

    public Task SetAsync(EditsInfo edits, int maxPerOwner, StorageLimits? limits, CancellationToken cancellationToken = default)
    {
        lock (_lock)
        {
            if (storage.IsClosed(edits.Owner)) throw QueueErrors.OwnerClosed();
            if (edits.Public && FindPublic(edits.Name) is { } other && other.Owner != edits.Owner)
                throw QueueErrors.EditsNameTaken(edits.Name);
            EditsInfo? before = _edits.GetValueOrDefault((edits.Owner, edits.Name));
            if (before is null && _edits.Keys.Count(key => key.Owner == edits.Owner) >= maxPerOwner)
                throw QueueErrors.TooManyEdits(maxPerOwner);
            long more = StorageRules.CountEdits(edits) - (before is null ? 0 : StorageRules.CountEdits(before));
            if (more > 0 && storage.FindViolation(edits.Owner, limits, more, 0) is { } violation) throw violation;
            storage.Count(edits.Owner, more, 0);
            _edits[(edits.Owner, edits.Name)] = edits.Clone();
        }
        return Task.CompletedTask;
    }

    public Task<EditsInfo?> FindAsync(string owner, string name, CancellationToken cancellationToken = default)
    {
        lock (_lock) return Task.FromResult((_edits.GetValueOrDefault((owner, name)) ?? FindPublic(name))?.Clone());
    }

    public Task<IReadOnlyList<EditsInfo>> ListAsync(string owner, CancellationToken cancellationToken = default)
    {
        lock (_lock)
        {
            return Task.FromResult<IReadOnlyList<EditsInfo>>(
                [.. _edits.Values.Where(edits => edits.Owner == owner || edits.Public)
                    .OrderBy(edits => edits.Name, StringComparer.Ordinal).ThenBy(edits => edits.Owner != owner)
                    .Select(edits => edits.WithoutBlobs())]);
        }
    }

    public async IAsyncEnumerable<EditsInfo> ReadAllAsync([EnumeratorCancellation] CancellationToken cancellationToken = default)
    {
        EditsInfo[] all;
        lock (_lock) all = [.. _edits.Values.Select(edits => edits.Clone())];
        foreach (EditsInfo edits in all)
        {
            cancellationToken.ThrowIfCancellationRequested();
            yield return edits;
        }
        await Task.CompletedTask;
    }

    /// <summary>Nothing: all edits are of this process.</summary>
    public Task ReconcileAsync(CancellationToken cancellationToken = default) => Task.CompletedTask;

    public Task<bool> RemoveAsync(string owner, string name, CancellationToken cancellationToken = default)
    {
        lock (_lock)
        {
            if (!_edits.Remove((owner, name), out EditsInfo? removed)) return Task.FromResult(false);
            storage.Count(owner, -StorageRules.CountEdits(removed), 0);
            return Task.FromResult(true);
        }
    }

    private EditsInfo? FindPublic(string name) => _edits.Values.FirstOrDefault(edits => edits.Public && edits.Name == name);
}
