using Google.Protobuf.WellKnownTypes;
using Ndif.Protocol;

namespace Ndif.Server.Keys;

/// <summary>The stored record of an API key: everything but its secret.</summary>
/// <param name="Id">The public part of the key. It is the owner of the jobs and blobs of the key.</param>
/// <param name="Hash">The hash of the secret (<see cref="ApiKey.Hash"/>).</param>
/// <param name="Name">The user or purpose of the key.</param>
/// <param name="Scopes">The scopes of the key (<see cref="Keys.Scopes"/>).</param>
/// <param name="Tier">The tier, a name in <see cref="GatewayOptions.Tiers"/>.</param>
/// <param name="Models">The ids of the models that the key may use; empty for all.</param>
public sealed record KeyRecord(
    string Id, string Hash, string Name, IReadOnlyList<string> Scopes, string Tier, IReadOnlyList<string> Models,
    DateTimeOffset Created, DateTimeOffset? Expires = null, DateTimeOffset? Revoked = null)
{
    /// <summary>Returns the public view of the record, without the hash.</summary>
    public KeyInfo ToInfo() => new()
    {
        Id = Id,
        Name = Name,
        Scopes = { Scopes },
        Tier = Tier,
        Models = { Models },
        Created = Timestamp.FromDateTimeOffset(Created),
        Expires = Expires is { } expires ? Timestamp.FromDateTimeOffset(expires) : null,
        Revoked = Revoked is { } revoked ? Timestamp.FromDateTimeOffset(revoked) : null,
    };

    public override string ToString() => $"key {Id} ({Name})";
}
