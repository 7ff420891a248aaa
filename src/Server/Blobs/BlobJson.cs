using System.Text.Json.Serialization;

namespace Ndif.Server.Blobs;

/// <summary>The response body of a blob upload over HTTP.</summary>
internal sealed record BlobJson(string Id, ulong Length);

[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase)]
[JsonSerializable(typeof(BlobJson))]
internal sealed partial class BlobJsonContext : JsonSerializerContext;
