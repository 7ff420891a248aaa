using System.Text.Json.Serialization;

namespace Ndif.Server.Keys;

/// <summary>The JSON serialization of key records in files and in Redis.</summary>
[JsonSourceGenerationOptions(WriteIndented = false, PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase)]
[JsonSerializable(typeof(KeyRecord))]
[JsonSerializable(typeof(List<KeyRecord>))]
internal sealed partial class KeyJson : JsonSerializerContext;
