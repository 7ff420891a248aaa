namespace Ndif.Server.Keys;

/// <summary>Creates, lists, revokes and verifies API keys. Used by the gateway and by `ndif keys`.</summary>
public sealed class KeyService(IKeyStore store, TimeProvider time)
{
    private const int MaxNameLength = 100;
    private const string PlaceholderHash = "0000000000000000000000000000000000000000000000000000000000000000";

    /// <summary>Creates a key.</summary>
    /// <param name="name">The user or purpose of the key; 1 to 100 characters.</param>
    /// <param name="scopes">Scopes of <see cref="Scopes.All"/>; empty for <see cref="Scopes.Run"/>.</param>
    /// <param name="tier">The tier; empty for <c>standard</c>.</param>
    /// <param name="models">The ids of the models that the key may use; empty for all.</param>
    /// <param name="lifetime">The lifetime; null for a key that does not expire.</param>
    /// <exception cref="NdifException">BAD_ARGUMENT: an argument is not valid.</exception>
    public async Task<CreatedKey> CreateAsync(
        string name, IReadOnlyCollection<string> scopes, string tier = "standard", IReadOnlyCollection<string>? models = null,
        TimeSpan? lifetime = null, CancellationToken cancellationToken = default)
    {
        if (string.IsNullOrWhiteSpace(name) || name.Length > MaxNameLength || name.Any(char.IsControl))
            throw ServerErrors.BadKeyName(MaxNameLength);
        if (scopes.FirstOrDefault(scope => !Scopes.All.Contains(scope)) is { } unknown) throw ServerErrors.UnknownScope(unknown);
        if (lifetime is { } span && span <= TimeSpan.Zero) throw ServerErrors.BadLifetime();
        DateTimeOffset now = time.GetUtcNow();
        while (true)
        {
            ApiKey key = ApiKey.New();
            var record = new KeyRecord(
                key.Id, key.Hash(), name.Trim(), scopes.Count == 0 ? [Scopes.Run] : [.. scopes.Distinct()],
                tier.Length == 0 ? "standard" : tier, [.. models ?? []], now, now + lifetime);
            if (await store.AddAsync(record, cancellationToken)) return new CreatedKey(record, key);
        }
    }

    public Task<IReadOnlyList<KeyRecord>> ListAsync(CancellationToken cancellationToken = default) => store.ListAsync(cancellationToken);

    /// <inheritdoc cref="IKeyStore.GetRevisionAsync"/>
    public Task<string> GetRevisionAsync(CancellationToken cancellationToken = default) => store.GetRevisionAsync(cancellationToken);

    /// <exception cref="NdifException">BAD_ARGUMENT: there is no such key.</exception>
    public async Task<KeyRecord> RevokeAsync(string id, CancellationToken cancellationToken = default) =>
        await store.RevokeAsync(id, time.GetUtcNow(), cancellationToken) ?? throw ServerErrors.UnknownKeyId(id);

    /// <summary>Verifies the text of a key and returns its caller.</summary>
    /// <exception cref="NdifException">UNAUTHENTICATED: the key is malformed, unknown, revoked or expired.</exception>
    public async Task<Caller> VerifyAsync(string text, CancellationToken cancellationToken = default)
    {
        if (!ApiKey.TryParse(text, out ApiKey? key)) throw ServerErrors.MalformedKey();
        KeyRecord? record = await store.FindAsync(key.Id, cancellationToken);
        // An unknown id takes the same time and gets the same error as a wrong secret.
        if (!key.Matches(record?.Hash ?? PlaceholderHash) || record is null) throw ServerErrors.WrongKey();
        if (record.Revoked is { } revoked) throw ServerErrors.RevokedKey(record.Id, revoked);
        if (record.Expires is { } expires && expires <= time.GetUtcNow()) throw ServerErrors.ExpiredKey(record.Id, expires);
        return new Caller(record.Id, record.Name, record.Scopes, record.Tier, record.Models);
    }
}
