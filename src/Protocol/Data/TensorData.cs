using System.Runtime.InteropServices;
using Google.Protobuf;
using Ndif.Protocol;
using Ndif.Protocol.Programs;

namespace Ndif;

/// <summary>
/// A computed tensor on the client: element type, shape and bytes (row-major, little-endian), without TorchSharp. Immutable.
/// </summary>
[TypeFormatterSource(typeof(TensorDataFormatterSource), PreferredMimeTypes = ["text/html"])]
public sealed partial class TensorData
{
    private readonly long[] _shape;

    /// <summary>A tensor over existing bytes.</summary>
    /// <param name="type">The type of the elements.</param>
    /// <param name="shape">The sizes of the dimensions.</param>
    /// <param name="bytes">The elements, row-major and little-endian. They are not copied.</param>
    /// <exception cref="ArgumentException">The number of bytes does not match the shape.</exception>
    public TensorData(DType type, ReadOnlySpan<long> shape, ReadOnlyMemory<byte> bytes)
    {
        Int128 needed = type.ItemSize(); // a product in 64 bits could wrap around to a small number
        foreach (long size in shape)
        {
            if (size < 0)
                throw new ArgumentException($"A tensor cannot have the negative size {size}: [{string.Join(", ", shape.ToArray())}].");
            needed = Int128.Min(needed * size, long.MaxValue);
        }
        if (needed != bytes.Length)
            throw new ArgumentException(
                $"A {type.TorchName()} tensor of shape [{string.Join(", ", shape.ToArray())}] has {needed} bytes, not {bytes.Length}.");
        (Type, _shape, Bytes) = (type, shape.ToArray(), bytes);
    }

    /// <summary>The type of the elements.</summary>
    public DType Type { get; }

    /// <summary>The sizes of the dimensions; empty for a tensor of one element without dimensions.</summary>
    public ReadOnlySpan<long> Shape => _shape;

    /// <summary>The elements, row-major and little-endian.</summary>
    public ReadOnlyMemory<byte> Bytes { get; }

    /// <summary>The number of elements.</summary>
    public long Count => Bytes.Length / Type.ItemSize();

    /// <summary>A tensor with a copy of these elements.</summary>
    /// <param name="elements">The elements in row-major order.</param>
    /// <param name="shape">The sizes of the dimensions; without sizes, one dimension.</param>
    public static TensorData FromArray<T>(ReadOnlySpan<T> elements, params ReadOnlySpan<long> shape) where T : unmanaged =>
        new(DTypeExtensions.FromClrType<T>(), shape.Length == 0 ? [elements.Length] : shape, MemoryMarshal.AsBytes(elements).ToArray());

    /// <inheritdoc cref="FromArray{T}(ReadOnlySpan{T}, ReadOnlySpan{long})"/>
    public static TensorData FromArray<T>(T[] elements, params ReadOnlySpan<long> shape) where T : unmanaged =>
        FromArray((ReadOnlySpan<T>)elements, shape);

    /// <summary>The elements without a copy.</summary>
    /// <exception cref="InvalidOperationException"><typeparamref name="T"/> is not the element type.</exception>
    public ReadOnlySpan<T> Span<T>() where T : unmanaged =>
        DTypeExtensions.FromClrType<T>() == Type ? MemoryMarshal.Cast<byte, T>(Bytes.Span)
            : throw new InvalidOperationException($"The tensor is {Type.TorchName()}, not {DTypeExtensions.FromClrType<T>().TorchName()}.");

    /// <summary>Reads a tensor of a message, whose bytes must be inline.</summary>
    /// <exception cref="NdifException">
    /// CORRUPT_DATA: the message has no bytes, an unknown type, or bytes that do not match its shape.
    /// </exception>
    public static TensorData FromProto(Tensor tensor)
    {
        if (tensor.ContentCase != Tensor.ContentOneofCase.Inline)
            throw Errors.CreateException(ErrorCode.CorruptData, "A tensor arrived without its bytes.");
        if (!Enum.IsDefined((DType)tensor.Dtype))
            throw Errors.CreateException(ErrorCode.CorruptData, $"A tensor arrived with the unknown element type {(int)tensor.Dtype}.");
        if (tensor.Shape.Count > ProgramFormat.MaxRank)
            throw Errors.CreateException(ErrorCode.CorruptData,
                $"A tensor arrived with {tensor.Shape.Count} dimensions; it has at most {ProgramFormat.MaxRank}.");
        try
        {
            return new TensorData((DType)tensor.Dtype, [.. tensor.Shape], tensor.Inline.Memory);
        }
        catch (Exception e) when (e is ArgumentException or OverflowException)
        {
            throw Errors.CreateException(ErrorCode.CorruptData, e.Message, inner: e);
        }
    }

    /// <summary>A message that shares the bytes of this tensor.</summary>
    public Tensor ToProto() => new() { Dtype = (DataType)Type, Shape = { _shape }, Inline = UnsafeByteOperations.UnsafeWrap(Bytes) };
}
