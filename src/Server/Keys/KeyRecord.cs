using System.Text.Json.Serialization;
using Google.Protobuf.WellKnownTypes;
using Ndif.Protocol;

namespace Ndif.Server.Keys;

/// <summary>What is kept of a key: everything but its secret.</summary>
/// <param name="Id">The public part of the key; the owner of its jobs.</param>
/// <param name="Hash"><see cref="ApiKey.Hash"/> of the secret.</param>
/// <param name="Name">Whose it is, in words.</param>
/// <param name="Scopes">What it may do: of <see cref="Server.Scopes"/>.</param>
/// <param name="Tier">Its share and its limits: a name in <see cref="GatewayOptions.Tiers"/>.</param>
/// <param name="Models">The ids of the models it may use; empty for all.</param>
public sealed record KeyRecord(
    string Id, string Hash, string Name, IReadOnlyList<string> Scopes, string Tier, IReadOnlyList<string> Models,
    DateTimeOffset Created, DateTimeOffset? Expires = null, DateTimeOffset? Revoked = null)
{
    /// <summary>The public view: no hash.</summary>
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

/// <summary>How key records are written to a file and to Redis.</summary>
[JsonSourceGenerationOptions(WriteIndented = false, PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase)]
[JsonSerializable(typeof(KeyRecord))]
[JsonSerializable(typeof(List<KeyRecord>))]
internal sealed partial class KeyJson : JsonSerializerContext;
