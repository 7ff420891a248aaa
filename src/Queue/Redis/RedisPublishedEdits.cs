using System.Runtime.CompilerServices;
using Google.Protobuf;
using Ndif.Protocol;
using Ndif.Queue.Rules;
using StackExchange.Redis;

namespace Ndif.Queue.Redis;

/// <summary>The published edits of a cluster. Redis keeps them until they are deleted.</summary>
internal sealed class RedisPublishedEdits(IConnectionMultiplexer connection, QueueOptions? options = null) : IPublishedEdits
{
    private readonly RedisKeys _keys = new((options ?? new QueueOptions()).Prefix);
    private readonly RedisCommandExecutor _commands = new(connection, new RedisKeys((options ?? new QueueOptions()).Prefix));

    public async Task SetAsync(
        EditsInfo edits, int maxPerOwner, StorageLimits? limits, CancellationToken cancellationToken = default)
    {
        cancellationToken.ThrowIfCancellationRequested();
        RedisResult reply = await _commands.ExecuteScriptAsync(
            RedisScript.PublishEdits, edits.Owner, edits.Name, edits.ToByteArray(), edits.Public ? 1 : 0, maxPerOwner,
            edits.WithoutBlobs().ToByteArray(), StorageRules.CountEdits(edits), limits?.Format() ?? "");
        if (RedisStorageAccounts.ReadViolation(reply) is { } violation) throw violation;
        if ((string?)reply == "closed") throw QueueErrors.OwnerClosed();
        if ((string?)reply == "taken") throw QueueErrors.EditsNameTaken(edits.Name);
        if ((string?)reply == "full") throw QueueErrors.TooManyEdits(maxPerOwner);
    }

    public async Task<EditsInfo?> FindAsync(string owner, string name, CancellationToken cancellationToken = default)
    {
        cancellationToken.ThrowIfCancellationRequested();
        if (await ReadAsync(owner, name) is { } own) return own;
        RedisValue publisher = await _commands.ExecuteAsync("edits", database => database.HashGetAsync(_keys.PublicEdits, name));
        return publisher.IsNull ? null : await ReadAsync(publisher!, name);
    }

    public async Task<IReadOnlyList<EditsInfo>> ListAsync(string owner, CancellationToken cancellationToken = default)
    {
        cancellationToken.ThrowIfCancellationRequested();
        HashEntry[] own = await _commands.ExecuteAsync("edits", database => database.HashGetAllAsync(_keys.EditSummaries(owner)));
        if (own.Length != await _commands.ExecuteAsync("edits", database => database.HashLengthAsync(_keys.Edits(owner))))
            own = await GetAllAsync(owner); // some were published by a version that wrote no summaries
        HashEntry[] publishers = await _commands.ExecuteAsync("edits", database => database.HashGetAllAsync(_keys.PublicEdits));
        Dictionary<string, EditsInfo> summaries =
            (await _commands.ExecuteAsync("edits", database => database.HashGetAllAsync(_keys.PublicEditSummaries)))
            .ToDictionary(entry => (string)entry.Name!, Parse);
        List<EditsInfo> edits = [.. own.Select(entry => Parse(entry).WithoutBlobs())];
        foreach ((string name, string publisher) in publishers.Select(entry => ((string)entry.Name!, (string)entry.Value!)))
        {
            if (publisher == owner) continue;
            EditsInfo? shared = summaries.GetValueOrDefault(name) is { } summary && summary.Owner == publisher ? summary
                : (await ReadAsync(publisher, name))?.WithoutBlobs();
            if (shared is not null) edits.Add(shared);
        }
        return [.. edits.OrderBy(each => each.Name, StringComparer.Ordinal).ThenBy(each => each.Owner != owner)];
    }

    public async IAsyncEnumerable<EditsInfo> ReadAllAsync([EnumeratorCancellation] CancellationToken cancellationToken = default)
    {
        foreach (RedisValue owner in await _commands.ExecuteAsync("edits", database => database.SetMembersAsync(_keys.Publishers)))
        {
            foreach (HashEntry entry in await GetAllAsync(owner!))
            {
                cancellationToken.ThrowIfCancellationRequested();
                yield return Parse(entry);
            }
        }
    }

    public async Task<bool> RemoveAsync(string owner, string name, CancellationToken cancellationToken = default)
    {
        cancellationToken.ThrowIfCancellationRequested();
        return (int)await _commands.ExecuteScriptAsync(RedisScript.DeleteEdits, owner, name) == 1;
    }

    private async Task<EditsInfo?> ReadAsync(string owner, string name)
    {
        RedisValue bytes = await _commands.ExecuteAsync("edits", database => database.HashGetAsync(_keys.Edits(owner), name));
        return bytes.IsNull ? null : EditsInfo.Parser.ParseFrom((byte[])bytes!);
    }

    private Task<HashEntry[]> GetAllAsync(string owner) =>
        _commands.ExecuteAsync("edits", database => database.HashGetAllAsync(_keys.Edits(owner)));

    private static EditsInfo Parse(HashEntry entry) => EditsInfo.Parser.ParseFrom((byte[])entry.Value!);
}
