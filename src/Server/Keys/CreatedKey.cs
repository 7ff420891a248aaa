namespace Ndif.Server.Keys;

/// <summary>A newly created key with its secret, which is not stored and cannot be read again.</summary>
public sealed record CreatedKey(KeyRecord Record, ApiKey Key);
