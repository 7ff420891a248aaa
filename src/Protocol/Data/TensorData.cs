using System.Runtime.InteropServices;
using Google.Protobuf;
using Ndif.Protocol;

namespace Ndif;

/// <summary>
/// A finished tensor on the client: element type, shape and bytes (row-major, little-endian), without TorchSharp. Immutable.
/// </summary>
public sealed partial class TensorData
{
    private readonly long[] _shape;

    /// <param name="bytes">Kept, not copied.</param>
    /// <exception cref="ArgumentException">The number of bytes does not fit the shape.</exception>
    public TensorData(DType type, ReadOnlySpan<long> shape, ReadOnlyMemory<byte> bytes)
    {
        Int128 needed = type.ItemSize(); // of 64 bits, two sizes could be multiplied to few bytes again
        foreach (long size in shape)
        {
            if (size < 0) throw new ArgumentException($"A tensor cannot have the negative size {size}: [{string.Join(", ", shape.ToArray())}].");
            needed = Int128.Min(needed * size, long.MaxValue);
        }
        if (needed != bytes.Length)
            throw new ArgumentException($"A {type.TorchName()} tensor of shape [{string.Join(", ", shape.ToArray())}] has {(needed)} bytes, not {bytes.Length}.");
        (Type, _shape, Bytes) = (type, shape.ToArray(), bytes);
    }

    public DType Type { get; }

    public ReadOnlySpan<long> Shape => _shape;

    public ReadOnlyMemory<byte> Bytes { get; }

    /// <summary>Number of elements.</summary>
    public long Count => Bytes.Length / Type.ItemSize();

    /// <summary>A tensor of a copy of these elements.</summary>
    public static TensorData FromArray<T>(ReadOnlySpan<T> elements, params ReadOnlySpan<long> shape) where T : unmanaged =>
        new(DTypeExtensions.FromClrType<T>(), shape.Length == 0 ? [elements.Length] : shape, MemoryMarshal.AsBytes(elements).ToArray());

    /// <inheritdoc cref="FromArray{T}(ReadOnlySpan{T}, ReadOnlySpan{long})"/>
    public static TensorData FromArray<T>(T[] elements, params ReadOnlySpan<long> shape) where T : unmanaged =>
        FromArray((ReadOnlySpan<T>)elements, shape);

    /// <summary>The elements without a copy; <typeparamref name="T"/> must be the element type.</summary>
    public ReadOnlySpan<T> Span<T>() where T : unmanaged =>
        DTypeExtensions.FromClrType<T>() == Type ? MemoryMarshal.Cast<byte, T>(Bytes.Span)
            : throw new InvalidOperationException($"The tensor is {Type.TorchName()}, not {DTypeExtensions.FromClrType<T>().TorchName()}.");

    /// <summary>From the wire. Large tensors must have been fetched before.</summary>
    public static TensorData FromProto(Tensor tensor)
    {
        if (tensor.ContentCase != Tensor.ContentOneofCase.Inline)
            throw Errors.CreateException(ErrorCode.CorruptData, "A tensor arrived without its bytes.");
        if (!Enum.IsDefined((DType)tensor.Dtype))
            throw Errors.CreateException(ErrorCode.CorruptData, $"A tensor arrived with the unknown element type {(int)tensor.Dtype}.");
        try
        {
            return new TensorData((DType)tensor.Dtype, [.. tensor.Shape], tensor.Inline.Memory);
        }
        catch (Exception e) when (e is ArgumentException or OverflowException)
        {
            throw Errors.CreateException(ErrorCode.CorruptData, e.Message, inner: e);
        }
    }

    /// <summary>To the wire, sharing the bytes.</summary>
    public Tensor ToProto() => new() { Dtype = (DataType)Type, Shape = { _shape }, Inline = UnsafeByteOperations.UnsafeWrap(Bytes) };
}
