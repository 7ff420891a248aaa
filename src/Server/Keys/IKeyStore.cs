namespace Ndif.Server.Keys;

/// <summary>A store of key records: a file (<see cref="FileKeyStore"/>) or Redis (<see cref="RedisKeyStore"/>).</summary>
public interface IKeyStore
{
    /// <summary>Returns the record of a key, or null.</summary>
    Task<KeyRecord?> FindAsync(string id, CancellationToken cancellationToken = default);

    /// <summary>Returns all keys, oldest first, including revoked and expired keys.</summary>
    Task<IReadOnlyList<KeyRecord>> ListAsync(CancellationToken cancellationToken = default);

    /// <summary>Adds a record. Returns false if the id exists already.</summary>
    Task<bool> AddAsync(KeyRecord key, CancellationToken cancellationToken = default);

    /// <summary>Revokes a key; a key that is already revoked keeps its time. Returns null if there is no such key.</summary>
    Task<KeyRecord?> RevokeAsync(string id, DateTimeOffset at, CancellationToken cancellationToken = default);

    /// <summary>
    /// Returns a text that differs after a key was revoked, by whichever process: as long as it is the same, a caller has no reason to list
    /// all keys again. A process of a version before this method revokes without changing it.
    /// </summary>
    Task<string> GetRevisionAsync(CancellationToken cancellationToken = default);
}
