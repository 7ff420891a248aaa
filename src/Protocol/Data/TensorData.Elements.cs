using System.Numerics;
using System.Numerics.Tensors;
using System.Runtime.InteropServices;
using System.Security.Cryptography;
using Ndif.Protocol;

namespace Ndif;

// Elements of any type as numbers of one .NET type, and back. float64 holds every element exactly but large int64; int64 holds every whole
// number. bfloat16 is the upper half of a float32.
public sealed partial class TensorData
{
    /// <summary>The elements in row-major order, converted to a .NET type.</summary>
    /// <exception cref="NotSupportedException">The type is not one of an element, or the elements are complex.</exception>
    public T[] ToArray<T>() where T : unmanaged
    {
        DType wanted = DTypeExtensions.FromClrType<T>();
        return wanted == Type ? Span<T>().ToArray() : MemoryMarshal.Cast<byte, T>(To(wanted).Bytes.Span).ToArray();
    }

    /// <summary>The only element.</summary>
    /// <exception cref="InvalidOperationException">The tensor has several elements, or none.</exception>
    public T Item<T>() where T : unmanaged => Count == 1 ? ToArray<T>()[0]
        : throw new InvalidOperationException($"A tensor of {Count} elements has no single item; index it first.");

    /// <summary>The same numbers in another element type, rounded to it.</summary>
    /// <exception cref="NotSupportedException">One of the types is complex.</exception>
    public TensorData To(DType type) => type == Type ? this
        : Type.IsFloatingPoint() ? FromElements<double>(Elements<double>(), _shape, type)
        : FromElements<long>(Elements<long>(), _shape, type);

    /// <summary>The SHA-256 of the bytes in lower-case hexadecimal.</summary>
    public string Checksum() => Convert.ToHexStringLower(SHA256.HashData(Bytes.Span));

    /// <summary>The elements in a new array of float, double or long.</summary>
    private T[] Elements<T>() where T : unmanaged, INumber<T>
    {
        var elements = new T[Count];
        ReadOnlySpan<byte> bytes = Bytes.Span;
        switch (Type)
        {
            case DType.Float32: TensorPrimitives.ConvertTruncating(MemoryMarshal.Cast<byte, float>(bytes), elements.AsSpan()); break;
            case DType.Float64: TensorPrimitives.ConvertTruncating(MemoryMarshal.Cast<byte, double>(bytes), elements.AsSpan()); break;
            case DType.Float16: TensorPrimitives.ConvertTruncating(MemoryMarshal.Cast<byte, Half>(bytes), elements.AsSpan()); break;
            case DType.Int64: TensorPrimitives.ConvertTruncating(MemoryMarshal.Cast<byte, long>(bytes), elements.AsSpan()); break;
            case DType.Int32: TensorPrimitives.ConvertTruncating(MemoryMarshal.Cast<byte, int>(bytes), elements.AsSpan()); break;
            case DType.Int16: TensorPrimitives.ConvertTruncating(MemoryMarshal.Cast<byte, short>(bytes), elements.AsSpan()); break;
            case DType.Int8: TensorPrimitives.ConvertTruncating(MemoryMarshal.Cast<byte, sbyte>(bytes), elements.AsSpan()); break;
            case DType.UInt8: TensorPrimitives.ConvertTruncating(bytes, elements.AsSpan()); break;
            case DType.Bool:
                for (int i = 0; i < elements.Length; i++) elements[i] = bytes[i] != 0 ? T.One : T.Zero;
                break;
            case DType.BFloat16:
                ReadOnlySpan<ushort> halves = MemoryMarshal.Cast<byte, ushort>(bytes);
                for (int i = 0; i < elements.Length; i++)
                    elements[i] = T.CreateTruncating(BitConverter.Int32BitsToSingle(halves[i] << 16));
                break;
            default:
                throw new NotSupportedException(
                    "A complex number is not a real one; take its real and imaginary part on the service.");
        }
        return elements;
    }

    /// <summary>A tensor of these numbers, rounded to a type; whole numbers wrap around in a smaller type of whole numbers.</summary>
    private static TensorData FromElements<T>(ReadOnlySpan<T> elements, ReadOnlySpan<long> shape, DType type)
        where T : unmanaged, INumber<T>
    {
        var bytes = new byte[checked((long)elements.Length * type.ItemSize())];
        switch (type)
        {
            case DType.Float32: TensorPrimitives.ConvertTruncating(elements, MemoryMarshal.Cast<byte, float>(bytes.AsSpan())); break;
            case DType.Float64: TensorPrimitives.ConvertTruncating(elements, MemoryMarshal.Cast<byte, double>(bytes.AsSpan())); break;
            case DType.Float16: TensorPrimitives.ConvertTruncating(elements, MemoryMarshal.Cast<byte, Half>(bytes.AsSpan())); break;
            case DType.Int64: TensorPrimitives.ConvertTruncating(elements, MemoryMarshal.Cast<byte, long>(bytes.AsSpan())); break;
            case DType.Int32: TensorPrimitives.ConvertTruncating(elements, MemoryMarshal.Cast<byte, int>(bytes.AsSpan())); break;
            case DType.Int16: TensorPrimitives.ConvertTruncating(elements, MemoryMarshal.Cast<byte, short>(bytes.AsSpan())); break;
            case DType.Int8: TensorPrimitives.ConvertTruncating(elements, MemoryMarshal.Cast<byte, sbyte>(bytes.AsSpan())); break;
            case DType.UInt8: TensorPrimitives.ConvertTruncating(elements, bytes.AsSpan()); break;
            case DType.Bool:
                for (int i = 0; i < bytes.Length; i++) bytes[i] = T.IsZero(elements[i]) ? (byte)0 : (byte)1;
                break;
            case DType.BFloat16:
                Span<ushort> halves = MemoryMarshal.Cast<byte, ushort>(bytes.AsSpan());
                for (int i = 0; i < halves.Length; i++) halves[i] = RoundToBFloat16(float.CreateTruncating(elements[i]));
                break;
            default: throw new NotSupportedException($"There is no real number in a {type.TorchName()} tensor.");
        }
        return new TensorData(type, shape, bytes);
    }

    /// <summary>Rounds to nearest, ties to even, as PyTorch.</summary>
    private static ushort RoundToBFloat16(float value)
    {
        uint bits = BitConverter.SingleToUInt32Bits(value);
        return float.IsNaN(value) ? (ushort)0x7fc0 : (ushort)((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
    }
}
