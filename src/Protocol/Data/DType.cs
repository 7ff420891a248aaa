using Ndif.Protocol;

namespace Ndif;

/// <summary>The type of a tensor's elements, named as PyTorch's dtype.</summary>
public enum DType
{
    /// <summary>32-bit floating point.</summary>
    Float32 = DataType.Float32,
    /// <summary>64-bit floating point.</summary>
    Float64 = DataType.Float64,
    /// <summary>IEEE 16-bit floating point.</summary>
    Float16 = DataType.Float16,
    /// <summary>16-bit floating point with the exponent of float32.</summary>
    BFloat16 = DataType.Bfloat16,
    /// <summary>Signed 8-bit integer.</summary>
    Int8 = DataType.Int8,
    /// <summary>Signed 16-bit integer.</summary>
    Int16 = DataType.Int16,
    /// <summary>Signed 32-bit integer.</summary>
    Int32 = DataType.Int32,
    /// <summary>Signed 64-bit integer.</summary>
    Int64 = DataType.Int64,
    /// <summary>Unsigned 8-bit integer.</summary>
    UInt8 = DataType.Uint8,
    /// <summary>A flag, one byte.</summary>
    Bool = DataType.Bool,
    /// <summary>Two float32: the real and the imaginary part.</summary>
    Complex64 = DataType.Complex64,
    /// <summary>Two float64: the real and the imaginary part.</summary>
    Complex128 = DataType.Complex128,
}

/// <summary>Properties of element types.</summary>
public static class DTypeExtensions
{
    /// <summary>The size of an element in bytes.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is not an element type.</exception>
    public static int ItemSize(this DType type) => type switch
    {
        DType.Int8 or DType.UInt8 or DType.Bool => 1,
        DType.Float16 or DType.BFloat16 or DType.Int16 => 2,
        DType.Float32 or DType.Int32 => 4,
        DType.Float64 or DType.Int64 or DType.Complex64 => 8,
        DType.Complex128 => 16,
        _ => throw new ArgumentOutOfRangeException(nameof(type), type, "Not a type of tensor elements."),
    };

    /// <summary>The name as PyTorch prints it, such as float32.</summary>
    public static string TorchName(this DType type) => type.ToString().ToLowerInvariant();

    /// <summary>True for the floating-point types; false for integers, bool and complex types.</summary>
    public static bool IsFloatingPoint(this DType type) =>
        type is DType.Float32 or DType.Float64 or DType.Float16 or DType.BFloat16;

    /// <summary>True for the integer types; false for bool.</summary>
    public static bool IsInteger(this DType type) =>
        type is DType.Int8 or DType.Int16 or DType.Int32 or DType.Int64 or DType.UInt8;

    /// <summary>The element type of a .NET type: float is Float32, long is Int64.</summary>
    /// <exception cref="NotSupportedException">No element type corresponds to it.</exception>
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
