using System.Buffers.Binary;
using System.Security.Cryptography;

namespace Ndif;

// Elements of any type, read and written as double. That is exact for every type but int64, which is read as long; bfloat16 is the upper
// half of a float32.
public sealed partial class TensorData
{
    /// <summary>The elements in row-major order, converted to a .NET type.</summary>
    /// <exception cref="NotSupportedException">The type is not one of an element, or the elements are complex.</exception>
    public T[] ToArray<T>() where T : unmanaged
    {
        if (Type != DType.BFloat16 && HasClrType(Type) && DTypeExtensions.FromClrType<T>() == Type) return Span<T>().ToArray();
        var result = new T[Count];
        if (typeof(T) == typeof(long) && Type.IsInteger())
        {
            for (int i = 0; i < result.Length; i++) result[i] = (T)(object)LongAt(i);
            return result;
        }
        for (int i = 0; i < result.Length; i++) result[i] = Convert<T>(DoubleAt(i));
        return result;
    }

    /// <summary>The only element.</summary>
    /// <exception cref="InvalidOperationException">The tensor has several elements, or none.</exception>
    public T Item<T>() where T : unmanaged => Count == 1 ? ToArray<T>()[0]
        : throw new InvalidOperationException($"A tensor of {Count} elements has no single item; index it first.");

    /// <summary>The same numbers in another element type, rounded to it.</summary>
    public TensorData To(DType type)
    {
        if (type == Type) return this;
        var bytes = new byte[Count * type.ItemSize()];
        for (int i = 0; i < Count; i++)
        {
            if (type == DType.Int64 && Type.IsInteger()) BinaryPrimitives.WriteInt64LittleEndian(bytes.AsSpan(i * 8), LongAt(i));
            else WriteElement(bytes, type, i, DoubleAt(i));
        }
        return new TensorData(type, _shape, bytes);
    }

    /// <summary>The SHA-256 of the bytes in lower-case hexadecimal.</summary>
    public string Checksum() => System.Convert.ToHexStringLower(SHA256.HashData(Bytes.Span));

    internal double DoubleAt(long index)
    {
        ReadOnlySpan<byte> at = Bytes.Span[checked((int)(index * Type.ItemSize()))..];
        return Type switch
        {
            DType.Float32 => BinaryPrimitives.ReadSingleLittleEndian(at),
            DType.Float64 => BinaryPrimitives.ReadDoubleLittleEndian(at),
            DType.Float16 => (double)BinaryPrimitives.ReadHalfLittleEndian(at),
            DType.BFloat16 => BitConverter.Int32BitsToSingle(BinaryPrimitives.ReadUInt16LittleEndian(at) << 16),
            DType.Complex64 or DType.Complex128 => throw new NotSupportedException(
                "A complex number is not a real one; take its real and imaginary part on the service."),
            _ => LongAt(index),
        };
    }

    private long LongAt(long index)
    {
        ReadOnlySpan<byte> at = Bytes.Span[checked((int)(index * Type.ItemSize()))..];
        return Type switch
        {
            DType.Int64 => BinaryPrimitives.ReadInt64LittleEndian(at),
            DType.Int32 => BinaryPrimitives.ReadInt32LittleEndian(at),
            DType.Int16 => BinaryPrimitives.ReadInt16LittleEndian(at),
            DType.Int8 => (sbyte)at[0],
            DType.UInt8 => at[0],
            DType.Bool => at[0] != 0 ? 1 : 0,
            _ => (long)DoubleAt(index),
        };
    }

    internal static void WriteElement(Span<byte> bytes, DType type, long index, double value)
    {
        Span<byte> at = bytes[checked((int)(index * type.ItemSize()))..];
        switch (type)
        {
            case DType.Float32: BinaryPrimitives.WriteSingleLittleEndian(at, (float)value); break;
            case DType.Float64: BinaryPrimitives.WriteDoubleLittleEndian(at, value); break;
            case DType.Float16: BinaryPrimitives.WriteHalfLittleEndian(at, (Half)value); break;
            case DType.BFloat16: BinaryPrimitives.WriteUInt16LittleEndian(at, RoundToBFloat16((float)value)); break;
            case DType.Int64: BinaryPrimitives.WriteInt64LittleEndian(at, (long)value); break;
            case DType.Int32: BinaryPrimitives.WriteInt32LittleEndian(at, (int)value); break;
            case DType.Int16: BinaryPrimitives.WriteInt16LittleEndian(at, (short)value); break;
            case DType.Int8: at[0] = (byte)(sbyte)value; break;
            case DType.UInt8: at[0] = (byte)value; break;
            case DType.Bool: at[0] = value != 0 ? (byte)1 : (byte)0; break;
            default: throw new NotSupportedException($"There is no real number in a {type.TorchName()} tensor.");
        }
    }

    /// <summary>Rounds to nearest, ties to even, as PyTorch.</summary>
    private static ushort RoundToBFloat16(float value)
    {
        uint bits = BitConverter.SingleToUInt32Bits(value);
        return float.IsNaN(value) ? (ushort)0x7fc0 : (ushort)((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
    }

    private static T Convert<T>(double value) where T : unmanaged =>
        typeof(T) == typeof(double) ? (T)(object)value :
        typeof(T) == typeof(float) ? (T)(object)(float)value :
        typeof(T) == typeof(bool) ? (T)(object)(value != 0) :
        typeof(T) == typeof(Half) ? (T)(object)(Half)value :
        typeof(T) == typeof(long) ? (T)(object)(long)value :
        typeof(T) == typeof(int) ? (T)(object)(int)value :
        typeof(T) == typeof(short) ? (T)(object)(short)value :
        typeof(T) == typeof(sbyte) ? (T)(object)(sbyte)value :
        typeof(T) == typeof(byte) ? (T)(object)(byte)value :
        throw new NotSupportedException($"There is no tensor of {typeof(T).Name}.");

    private static bool HasClrType(DType type) => type is not (DType.BFloat16 or DType.Complex64);
}
