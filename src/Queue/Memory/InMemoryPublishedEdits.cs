using Ndif.Protocol;

namespace Ndif.Queue.Memory;

/// <summary>The published edits of a service in a single process.</summary>
internal sealed class InMemoryPublishedEdits : IPublishedEdits
{
    private readonly Lock _lock = new();
    private readonly Dictionary<(string Owner, string Name), EditsInfo> _edits = [];

    public Task SetAsync(EditsInfo edits, int maxPerOwner, CancellationToken cancellationToken = default)
    {
        lock (_lock)
        {
            if (edits.Public && FindPublic(edits.Name) is { } other && other.Owner != edits.Owner)
                throw QueueErrors.EditsNameTaken(edits.Name);
            if (!_edits.ContainsKey((edits.Owner, edits.Name)) && _edits.Keys.Count(key => key.Owner == edits.Owner) >= maxPerOwner)
                throw QueueErrors.TooManyEdits(maxPerOwner);
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
                [.. _edits.Values.Where(edits => owner.Length == 0 || edits.Owner == owner || edits.Public)
                    .OrderBy(edits => edits.Name, StringComparer.Ordinal).ThenBy(edits => edits.Owner != owner)
                    .Select(edits => edits.Clone())]);
        }
    }

    public Task<bool> RemoveAsync(string owner, string name, CancellationToken cancellationToken = default)
    {
        lock (_lock) return Task.FromResult(_edits.Remove((owner, name)));
    }

    private EditsInfo? FindPublic(string name) => _edits.Values.FirstOrDefault(edits => edits.Public && edits.Name == name);
}
