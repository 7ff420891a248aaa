using Ndif.Protocol;
using static TorchSharp.torch;

namespace Ndif.Models.Files;

/// <summary>The element types of the safetensors format in TorchSharp.</summary>
internal static class SafetensorsDTypes
{
    extension(SafetensorsDType dtype)
    {
        /// <summary>Null if TorchSharp does not have the type.</summary>
        public ScalarType? Torch => dtype.Type?.ToTorch();
    }

    /// <exception cref="NdifException">UNSUPPORTED: the format has no such type.</exception>
    public static SafetensorsDType Of(ScalarType type) => type.ToData() is { } known ? SafetensorsDType.Of(known)
        : throw Errors.CreateException(ErrorCode.Unsupported, $"A safetensors file has no element type for {type}.");

    /// <summary>Parses the name of a type in a config.json ("float16", "torch.bfloat16"); null for "auto" and for null.</summary>
    public static ScalarType? OfConfig(string? name) => name?.Replace("torch.", "", StringComparison.Ordinal) switch
    {
        "float32" or "float" => ScalarType.Float32,
        "bfloat16" => ScalarType.BFloat16,
        "float16" or "half" => ScalarType.Float16,
        "float64" or "double" => ScalarType.Float64,
        _ => null,
    };
}
