using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Ndif.Protocol;

namespace Ndif;

// x[...] of computed tensors: NumPy's basic indexing, and lists of numbers. The result is always a copy.
public sealed partial class TensorData
{
    /// <summary>A part of the tensor: <c>x[0, ^1]</c>, <c>x[.., 1..3]</c>, <c>x[Idx.Ellipsis, 0]</c>, <c>x[[0, 2]]</c>.</summary>
    /// <exception cref="IndexOutOfRangeException">An index is out of the range of its dimension.</exception>
    [IndexerName("At")]
    public TensorData this[params Idx[] index]
    {
        get
        {
            List<long> shape = [];
            List<long[]> offsets = [];                      // for each dimension of the result, the position of each of its entries
            long start = 0, stride = Count;
            int dimension = 0;
            int given = index.Count(i => i.Entry is not (null or IndexEllipsis));
            if (given > _shape.Length)
                throw Errors.CreateException(ErrorCode.IndexOutOfRange, $"too many indices for tensor of dimension {_shape.Length}");
            foreach (Idx entry in index.Any(i => i.Entry is IndexEllipsis) ? index : [.. index, Idx.Ellipsis])
            {
                switch (entry.Entry)
                {
                    case null:
                        Keep([0]);
                        break;
                    case IndexEllipsis:
                        for (int rest = _shape.Length - given; rest > 0; rest--) Keep(Steps(0, _shape[dimension], 1));
                        break;
                    case long at:
                        long position = Position(at);
                        stride /= Math.Max(1, _shape[dimension]);
                        start += position * stride;
                        dimension++;
                        break;
                    case IndexSlice range:
                        Keep(ResolveSlice(range, _shape[dimension]));
                        break;
                    case TensorData list when list.Type.IsInteger() && list._shape.Length == 1:
                        Keep([.. list.ToArray<long>().Select(Position)]);
                        break;
                    default:
                        throw new ArgumentException(
                            "A computed tensor is indexed by numbers, ranges, an ellipsis, a new axis or lists of numbers.");
                }

                void Keep(long[] entries)
                {
                    shape.Add(entries.Length);
                    if (entry.Entry is null)
                    {
                        offsets.Add(entries);
                        return;
                    }
                    stride /= Math.Max(1, _shape[dimension]);
                    offsets.Add(Array.ConvertAll(entries, e => e * stride));
                    dimension++;
                }
            }
            return Gather([.. shape], [.. offsets], start);

            long Position(long at)
            {
                long size = _shape[dimension];
                return at >= -size && at < size ? at < 0 ? at + size : at
                    : throw Errors.CreateException(ErrorCode.IndexOutOfRange,
                        $"index {at} is out of bounds for dimension {dimension} with size {size}");
            }
        }
    }

    /// <summary>
    /// The same elements in another shape; one size may be -1. Without sizes, a tensor of one element without dimensions.
    /// </summary>
    /// <exception cref="ArgumentException">The shape has another number of elements.</exception>
    public TensorData Reshape(params ReadOnlySpan<long> shape)
    {
        long[] sizes = shape.ToArray();
        int inferred = Array.IndexOf(sizes, -1);
        if (inferred >= 0)
        {
            long rest = sizes.Where((_, i) => i != inferred).Aggregate(1L, (a, b) => a * b);
            sizes[inferred] = rest == 0 ? 0 : Count / rest;
        }
        return new TensorData(Type, sizes, Bytes);
    }

    /// <summary>The elements at the sums of one offset of each dimension, in a new tensor.</summary>
    /// <param name="offsets">For each dimension of the result, the position of each of its entries.</param>
    private TensorData Gather(long[] shape, long[][] offsets, long start)
    {
        var bytes = new byte[checked(ElementCount(shape) * Type.ItemSize())];
        if (bytes.Length == 0) return new TensorData(Type, shape, bytes);
        switch (Type.ItemSize())
        {
            case 1: Copy<byte>(); break;
            case 2: Copy<ushort>(); break;
            case 4: Copy<uint>(); break;
            case 8: Copy<ulong>(); break;
            default: Copy<UInt128>(); break;
        }
        return new TensorData(Type, shape, bytes);

        void Copy<T>() where T : unmanaged
        {
            ReadOnlySpan<T> source = MemoryMarshal.Cast<byte, T>(Bytes.Span);
            Span<T> result = MemoryMarshal.Cast<byte, T>(bytes.AsSpan());
            long[] row = offsets.Length == 0 ? [0] : offsets[^1];
            var at = new int[Math.Max(0, offsets.Length - 1)]; // the entry of each dimension but the last
            for (int i = 0; i < result.Length; i += row.Length)
            {
                long from = start;
                for (int d = 0; d < at.Length; d++) from += offsets[d][at[d]];
                for (int k = 0; k < row.Length; k++) result[i + k] = source[(int)(from + row[k])];
                for (int d = at.Length - 1; d >= 0 && ++at[d] == offsets[d].Length; d--) at[d] = 0;
            }
        }
    }

    private static long[] ResolveSlice(IndexSlice range, long size)
    {
        long step = range.Step ?? 1;
        if (step <= 0) throw new ArgumentException("The step of a range must be at least 1.");
        return Steps(Clamp(range.Start ?? 0), Clamp(range.Stop ?? size), step);

        long Clamp(long at) => Math.Clamp(at < 0 ? at + size : at, 0, size);
    }

    private static long[] Steps(long start, long stop, long step)
    {
        var entries = new long[stop <= start ? 0 : (stop - start + step - 1) / step];
        for (int i = 0; i < entries.Length; i++) entries[i] = start + i * step;
        return entries;
    }
}
