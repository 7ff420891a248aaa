using Google.Protobuf;
using Ndif.Protocol;
using StackExchange.Redis;

namespace Ndif.Queue.Redis;

/// <summary>The published edits of a cluster. Redis keeps them until they are deleted.</summary>
internal sealed class RedisPublishedEdits(IConnectionMultiplexer connection, QueueOptions? options = null) : IPublishedEdits
{
    private readonly RedisKeys _keys = new((options ?? new QueueOptions()).Prefix);
    private readonly RedisCommandExecutor _commands = new(connection, new RedisKeys((options ?? new QueueOptions()).Prefix));

    public async Task SetAsync(EditsInfo edits, int maxPerOwner, CancellationToken cancellationToken = default)
    {
        cancellationToken.ThrowIfCancellationRequested();
        RedisResult reply = await _commands.ExecuteScriptAsync(
            RedisScript.PublishEdits, edits.Owner, edits.Name, edits.ToByteArray(), edits.Public ? 1 : 0, maxPerOwner);
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
        List<EditsInfo> edits = [];
        RedisValue[] publishers = await _commands.ExecuteAsync("edits", database => database.SetMembersAsync(_keys.Publishers));
        foreach (RedisValue publisher in publishers)
            edits.AddRange((await _commands.ExecuteAsync("edits", database => database.HashGetAllAsync(_keys.Edits(publisher!))))
                .Select(entry => EditsInfo.Parser.ParseFrom((byte[])entry.Value!))
                .Where(each => owner.Length == 0 || each.Owner == owner || each.Public));
        return [.. edits.OrderBy(each => each.Name, StringComparer.Ordinal).ThenBy(each => each.Owner != owner)];
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
}
