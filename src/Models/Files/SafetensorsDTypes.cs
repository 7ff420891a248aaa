using Ndif.Protocol;
using static TorchSharp.torch;

namespace Ndif.Models.Files;

/// <summary>The element types of the safetensors format.</summary>
/// <remarks>https://github.com/huggingface/safetensors, <c>Dtype</c> in safetensors/src/tensor.rs.</remarks>
internal static class SafetensorsDTypes
{
    public static readonly IReadOnlyList<SafetensorsDType> All =
    [
        new("F32", 4, ScalarType.Float32, DataType.Float32),
        new("BF16", 2, ScalarType.BFloat16, DataType.Bfloat16),
        new("F16", 2, ScalarType.Float16, DataType.Float16),
        new("F64", 8, ScalarType.Float64, DataType.Float64),
        new("I64", 8, ScalarType.Int64, DataType.Int64),
        new("I32", 4, ScalarType.Int32, DataType.Int32),
        new("I16", 2, ScalarType.Int16, DataType.Int16),
        new("I8", 1, ScalarType.Int8, DataType.Int8),
        new("U8", 1, ScalarType.Byte, DataType.Uint8),
        new("BOOL", 1, ScalarType.Bool, DataType.Bool),
        new("C64", 8, ScalarType.ComplexFloat32, DataType.Complex64),
        new("U64", 8, null, DataType.Unspecified),
        new("U32", 4, null, DataType.Unspecified),
        new("U16", 2, null, DataType.Unspecified),
        new("F8_E5M2", 1, null, DataType.Unspecified),
        new("F8_E4M3", 1, null, DataType.Unspecified),
        new("F8_E8M0", 1, null, DataType.Unspecified),
    ];

    /// <summary>Finds the type with a name in a safetensors header, or returns null.</summary>
    public static SafetensorsDType? FindByName(string name)
    {
        foreach (SafetensorsDType dtype in All)
            if (dtype.Name == name) return dtype;
        return null;
    }

    /// <exception cref="NdifException">UNSUPPORTED: the format has no such type.</exception>
    public static SafetensorsDType Of(ScalarType type)
    {
        foreach (SafetensorsDType dtype in All)
            if (dtype.Torch == type) return dtype;
        throw Errors.CreateException(ErrorCode.Unsupported, $"A safetensors file has no element type for {type}.");
    }

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
