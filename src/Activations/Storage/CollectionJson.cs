using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Serialization;

namespace Ndif.Activations;

/// <summary>How the files of a collection are written as JSON.</summary>
internal static class CollectionJson
{
    /// <summary>For a file that people read.</summary>
    public static JsonSerializerOptions Indented { get; } = new()
    {
        PropertyNamingPolicy = JsonNamingPolicy.CamelCase,
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
        Converters = { new JsonStringEnumConverter(new LowerCasePolicy()) },
        WriteIndented = true,
    };

    /// <summary>For a line of a file.</summary>
    public static JsonSerializerOptions Compact { get; } = new(Indented) { WriteIndented = false };

    /// <summary>Enum members in lower case, as PyTorch names element types: "bfloat16".</summary>
    private sealed class LowerCasePolicy : JsonNamingPolicy
    {
        public override string ConvertName(string name) => name.ToLowerInvariant();
    }
}
