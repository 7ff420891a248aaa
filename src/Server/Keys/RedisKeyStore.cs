using System.Text.Json;
using StackExchange.Redis;

namespace Ndif.Server.Keys;

/// <summary>
/// Stores keys in one Redis hash, <c>{prefix}keys</c>, as JSON by id. It is shared by all gateways. <c>{prefix}keys_revision</c> is a
/// random text that each revocation replaces: a counter could have the same value again after Redis was restored from a backup.
/// </summary>
/// <param name="prefix">The prefix of all Redis keys of the service, such as <c>ndif:</c>.</param>
public sealed class RedisKeyStore(IConnectionMultiplexer redis, string prefix = "ndif:") : IKeyStore
{
    /// <summary>
    /// Replaces the text of a key, unless another gateway has changed it meanwhile, and the revision. It runs in a full Redis too: a
    /// revocation does not wait until there is memory.
    /// </summary>
    private const string ReplaceScript = """
        #!lua flags=allow-oom
        if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then return 0 end
        redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
        redis.call('SET', KEYS[2], ARGV[4])
        return 1
        """;

    private readonly RedisKey _hashKey = prefix + "keys";
    private readonly RedisKey _revisionKey = prefix + "keys_revision";

    public async Task<KeyRecord?> FindAsync(string id, CancellationToken cancellationToken = default) =>
        Parse(await redis.GetDatabase().HashGetAsync(_hashKey, id).WaitAsync(cancellationToken));

    public async Task<IReadOnlyList<KeyRecord>> ListAsync(CancellationToken cancellationToken = default)
    {
        HashEntry[] entries = await redis.GetDatabase().HashGetAllAsync(_hashKey).WaitAsync(cancellationToken);
        return [.. entries.Select(entry => Parse(entry.Value)!).OrderBy(key => key.Created).ThenBy(key => key.Id, StringComparer.Ordinal)];
    }

    public Task<bool> AddAsync(KeyRecord key, CancellationToken cancellationToken = default) =>
        redis.GetDatabase().HashSetAsync(_hashKey, key.Id, Format(key), When.NotExists).WaitAsync(cancellationToken);

    public async Task<KeyRecord?> RevokeAsync(string id, DateTimeOffset at, CancellationToken cancellationToken = default)
    {
        while (true)
        {
            RedisValue stored = await redis.GetDatabase().HashGetAsync(_hashKey, id).WaitAsync(cancellationToken);
            if (Parse(stored) is not { Revoked: null } key) return Parse(stored);
            KeyRecord revoked = key with { Revoked = at };
            RedisResult isReplaced = await redis.GetDatabase().ScriptEvaluateAsync(
                ReplaceScript, [_hashKey, _revisionKey], [id, stored, Format(revoked), Guid.NewGuid().ToString("N")])
                .WaitAsync(cancellationToken);
            if ((int)isReplaced == 1) return revoked;
        }
    }

    public async Task<string> GetRevisionAsync(CancellationToken cancellationToken = default) =>
        (string?)await redis.GetDatabase().StringGetAsync(_revisionKey).WaitAsync(cancellationToken) ?? "";

    private static RedisValue Format(KeyRecord key) => JsonSerializer.Serialize(key, KeyJson.Default.KeyRecord);

    private static KeyRecord? Parse(RedisValue json) =>
        json.IsNull ? null : JsonSerializer.Deserialize((string)json!, KeyJson.Default.KeyRecord);
}
