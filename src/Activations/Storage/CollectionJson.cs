using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Serialization;
using System.Text.Json.Serialization.Metadata;

namespace Ndif.Activations;

/// <summary>
/// How the files of a collection are written as JSON. The code is generated, because file-based programs have no serialization by
/// reflection.
/// </summary>
[JsonSerializable(typeof(Manifest))]
[JsonSerializable(typeof(Shard))]
[JsonSerializable(typeof(CollectReport))]
internal sealed partial class CollectionJson : JsonSerializerContext
{
    /// <summary>For a file that people read.</summary>
    public static JsonSerializerOptions Indented { get; } = CreateOptions(isIndented: true);

    /// <summary>For a line of a file.</summary>
    public static JsonSerializerOptions Compact { get; } = CreateOptions(isIndented: false);

    /// <summary>How values of a type are written and read.</summary>
    public static JsonTypeInfo<T> TypeOf<T>(JsonSerializerOptions options) => (JsonTypeInfo<T>)options.GetTypeInfo(typeof(T));

    private static JsonSerializerOptions CreateOptions(bool isIndented) => new()
    {
        TypeInfoResolver = new CollectionJson(), // `Default` is initialized later
        PropertyNamingPolicy = JsonNamingPolicy.CamelCase,
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
        Converters =
        {
            new LowerCaseConverter<DType>(), new LowerCaseConverter<ShardFormat>(), new LowerCaseConverter<LongTexts>(),
            new LowerCaseConverter<InvalidTexts>(),
        },
        WriteIndented = isIndented,
    };

    /// <summary>Enum members in lower case, as PyTorch names element types: "bfloat16".</summary>
    private sealed class LowerCaseConverter<T>() : JsonStringEnumConverter<T>(new LowerCasePolicy()) where T : struct, Enum;

    private sealed class LowerCasePolicy : JsonNamingPolicy
    {
        public override string ConvertName(string name) => name.ToLowerInvariant();
    }
}
