using Ndif.Protocol;

namespace Ndif;

/// <summary>The type of a tensor's elements, named as PyTorch's.</summary>
public enum DType
{
    Float32 = DataType.Float32,
    Float64 = DataType.Float64,
    Float16 = DataType.Float16,
    BFloat16 = DataType.Bfloat16,
    Int8 = DataType.Int8,
    Int16 = DataType.Int16,
    Int32 = DataType.Int32,
    Int64 = DataType.Int64,
    UInt8 = DataType.Uint8,
    Bool = DataType.Bool,
    Complex64 = DataType.Complex64,
    Complex128 = DataType.Complex128,
}

public static class DTypeExtensions
{
    /// <summary>Bytes an element takes.</summary>
    public static int ItemSize(this DType type) => type switch
    {
        DType.Int8 or DType.UInt8 or DType.Bool => 1,
        DType.Float16 or DType.BFloat16 or DType.Int16 => 2,
        DType.Float32 or DType.Int32 => 4,
        DType.Float64 or DType.Int64 or DType.Complex64 => 8,
        DType.Complex128 => 16,
        _ => throw new ArgumentOutOfRangeException(nameof(type), type, "Not a type of tensor elements."),
    };

    /// <summary>The name as PyTorch prints it: float32.</summary>
    public static string TorchName(this DType type) => type.ToString().ToLowerInvariant();

    public static bool IsFloatingPoint(this DType type) => type is DType.Float32 or DType.Float64 or DType.Float16 or DType.BFloat16;

    public static bool IsInteger(this DType type) => type is DType.Int8 or DType.Int16 or DType.Int32 or DType.Int64 or DType.UInt8;

    /// <summary>The element type of a .NET type: float is Float32, long is Int64.</summary>
    public static DType FromClrType<T>() where T : unmanaged =>
        typeof(T) == typeof(float) ? DType.Float32 :
        typeof(T) == typeof(double) ? DType.Float64 :
        typeof(T) == typeof(Half) ? DType.Float16 :
        typeof(T) == typeof(sbyte) ? DType.Int8 :
        typeof(T) == typeof(short) ? DType.Int16 :
        typeof(T) == typeof(int) ? DType.Int32 :
        typeof(T) == typeof(long) ? DType.Int64 :
        typeof(T) == typeof(byte) ? DType.UInt8 :
        typeof(T) == typeof(bool) ? DType.Bool :
        typeof(T) == typeof(System.Numerics.Complex) ? DType.Complex128 :
        throw new NotSupportedException($"There is no tensor of {typeof(T).Name}.");
}
