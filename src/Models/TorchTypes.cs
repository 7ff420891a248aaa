using static TorchSharp.torch;

namespace Ndif.Models;

/// <summary>Converts between <see cref="DType"/> and TorchSharp's element types.</summary>
public static class TorchTypes
{
    public static ScalarType ToTorch(this DType type) => type switch
    {
        DType.Float32 => ScalarType.Float32,
        DType.Float64 => ScalarType.Float64,
        DType.Float16 => ScalarType.Float16,
        DType.BFloat16 => ScalarType.BFloat16,
        DType.Int8 => ScalarType.Int8,
        DType.Int16 => ScalarType.Int16,
        DType.Int32 => ScalarType.Int32,
        DType.Int64 => ScalarType.Int64,
        DType.UInt8 => ScalarType.Byte,
        DType.Bool => ScalarType.Bool,
        DType.Complex64 => ScalarType.ComplexFloat32,
        DType.Complex128 => ScalarType.ComplexFloat64,
        _ => throw new ArgumentOutOfRangeException(nameof(type), type, "Not a type of tensor elements."),
    };

    /// <summary>Null for a type that <see cref="TensorData"/> does not have.</summary>
    public static DType? ToData(this ScalarType type) => type switch
    {
        ScalarType.Float32 => DType.Float32,
        ScalarType.Float64 => DType.Float64,
        ScalarType.Float16 => DType.Float16,
        ScalarType.BFloat16 => DType.BFloat16,
        ScalarType.Int8 => DType.Int8,
        ScalarType.Int16 => DType.Int16,
        ScalarType.Int32 => DType.Int32,
        ScalarType.Int64 => DType.Int64,
        ScalarType.Byte => DType.UInt8,
        ScalarType.Bool => DType.Bool,
        ScalarType.ComplexFloat32 => DType.Complex64,
        ScalarType.ComplexFloat64 => DType.Complex128,
        _ => null,
    };
}
