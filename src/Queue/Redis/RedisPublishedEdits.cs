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
        var listed = (RedisResult[])(await _commands.ExecuteScriptAsync(RedisScript.ListEdits, owner))!;
        IEnumerable<EditsInfo> edits = listed.Select(each => EditsInfo.Parser.ParseFrom((byte[])each!).WithoutBlobs());
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

    public async Task ReconcileAsync(CancellationToken cancellationToken = default)
    {
        RedisValue[] publishers = await _commands.ExecuteAsync("edits", database => database.SetMembersAsync(_keys.Publishers));
        HashEntry[] counts = await _commands.ExecuteAsync("edits", database => database.HashGetAllAsync(_keys.EditBytes));
        ILookup<string, (string Name, long Bytes)> counted = counts
            .Select(entry => (Key: ((string)entry.Name!).Split(' ', 2), Bytes: (long)entry.Value))
            .ToLookup(entry => entry.Key[0], entry => (entry.Key[1], entry.Bytes));
        foreach (string owner in publishers.Select(owner => (string)owner!).Union(counted.Select(group => group.Key)))
        {
            cancellationToken.ThrowIfCancellationRequested();
            await ReconcileAsync(owner, counted[owner].ToDictionary(entry => entry.Name, entry => entry.Bytes));
        }
    }

    /// <param name="counted">The bytes of the owner's edits by name, as they were counted.</param>
    private async Task ReconcileAsync(string owner, Dictionary<string, long> counted)
    {
        HashEntry[] described = await _commands.ExecuteAsync(
            "edits", database => database.HashGetAllAsync(_keys.EditSummaries(owner)));
        Dictionary<string, RedisValue> summaries = described.ToDictionary(entry => (string)entry.Name!, entry => entry.Value);
        foreach (HashEntry entry in await GetAllAsync(owner))
        {
            EditsInfo edits = Parse(entry);
            RedisValue summary = edits.WithoutBlobs().ToByteArray();
            long bytes = StorageRules.CountEdits(edits);
            bool isDescribed = summaries.Remove(entry.Name!, out RedisValue before) && before == summary;
            bool isCounted = counted.Remove(entry.Name!, out long bytesBefore) && bytesBefore == bytes;
            if (isDescribed && isCounted) continue;
            await _commands.ExecuteScriptAsync(RedisScript.DescribeEdits, owner, entry.Name, entry.Value, summary, bytes);
        }
        foreach (string deleted in summaries.Keys.Union(counted.Keys))
            await _commands.ExecuteScriptAsync(RedisScript.DescribeEdits, owner, deleted, "", "", 0);
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
