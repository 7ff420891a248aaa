namespace Ndif.Server.Keys;

/// <summary>Where key records lie: a file (<see cref="FileKeyStore"/>) or Redis (<see cref="RedisKeyStore"/>).</summary>
public interface IKeyStore
{
    Task<KeyRecord?> FindAsync(string id, CancellationToken cancellationToken = default);

    /// <summary>All keys, oldest first, revoked and expired ones too.</summary>
    Task<IReadOnlyList<KeyRecord>> ListAsync(CancellationToken cancellationToken = default);

    /// <summary>Adds a record. False if the id is taken.</summary>
    Task<bool> AddAsync(KeyRecord key, CancellationToken cancellationToken = default);

    /// <summary>Marks a key as revoked; one that is revoked already keeps its time. Null if there is no such key.</summary>
    Task<KeyRecord?> RevokeAsync(string id, DateTimeOffset at, CancellationToken cancellationToken = default);
}
