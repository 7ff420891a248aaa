using System.Numerics;
using System.Numerics.Tensors;
using Ndif.Protocol;

namespace Ndif;

// Dimensions, joins and matrix products. A result is a copy, and shares no memory with the tensor unless the order is the same.
public sealed partial class TensorData
{
    /// <summary>The dimensions in another order. <para>PyTorch: <c>permute</c></para></summary>
    /// <param name="dims">Each dimension once.</param>
    public TensorData Permute(params ReadOnlySpan<int> dims)
    {
        int[] order = Dimensions(dims.ToArray());
        if (order.Length != _shape.Length)
            throw Errors.CreateException(ErrorCode.BadArgument,
                $"permute: {order.Length} dimensions are named, and the tensor {Text(_shape)} has {_shape.Length}.");
        if (order.SequenceEqual(Enumerable.Range(0, order.Length))) return this;
        long[] strides = Strides();
        return Gather([.. order.Select(d => _shape[d])], [.. order.Select(d => Steps(_shape[d], strides[d]))], 0);
    }

    /// <summary>Exchanges two dimensions. <para>PyTorch: <c>transpose</c></para></summary>
    public TensorData Transpose(int dim0, int dim1)
    {
        (int first, int second) = (Dimension(dim0), Dimension(dim1));
        if (_shape.Length == 0) return this;
        int[] order = [.. Enumerable.Range(0, _shape.Length)];
        (order[first], order[second]) = (second, first);
        return Permute(order);
    }

    /// <summary>The transpose of a matrix; a vector or number stays as it is. <para>PyTorch: <c>t</c></para></summary>
    public TensorData T() => _shape.Length switch
    {
        < 2 => this,
        2 => Transpose(0, 1),
        _ => throw Errors.CreateException(ErrorCode.BadArgument,
            $"t() expects at most 2 dimensions, and the tensor has {_shape.Length}.", "Transpose(dim0, dim1) exchanges two of them."),
    };

    /// <summary>A new dimension of size 1. <para>PyTorch: <c>unsqueeze</c></para></summary>
    public TensorData Unsqueeze(int dim)
    {
        int at = dim < 0 ? dim + _shape.Length + 1 : dim;
        if (at < 0 || at > _shape.Length)
            throw Errors.CreateException(ErrorCode.IndexOutOfRange,
                $"Dimension out of range (expected to be in range of [{-_shape.Length - 1}, {_shape.Length}], but got {dim})");
        return new TensorData(Type, [.. _shape[..at], 1, .. _shape[at..]], Bytes);
    }

    /// <summary>Without the dimensions of size 1, or without these where their size is 1. <para>PyTorch: <c>squeeze</c></para></summary>
    public TensorData Squeeze(Dims? dim = null)
    {
        int[] removed = dim is null ? [.. Enumerable.Range(0, _shape.Length)] : Dimensions(dim);
        return new TensorData(Type, [.. _shape.Where((size, d) => size != 1 || !removed.Contains(d))], Bytes);
    }

    /// <summary>Dimensions start to end as one. <para>PyTorch: <c>flatten</c></para></summary>
    public TensorData Flatten(int startDim = 0, int endDim = -1)
    {
        (int start, int end) = (Dimension(startDim), Dimension(endDim));
        if (_shape.Length == 0) return Reshape(1);
        if (start > end) throw Errors.CreateException(ErrorCode.BadArgument, $"flatten: dimension {startDim} is behind {endDim}.");
        return new TensorData(Type, [.. _shape[..start], ElementCount(_shape.AsSpan(start..(end + 1))), .. _shape[(end + 1)..]], Bytes);
    }

    /// <summary>Joins tensors along a dimension; their other sizes are equal. <para>PyTorch: <c>cat</c></para></summary>
    /// <exception cref="ShapeMismatchException">Another size differs.</exception>
    public static TensorData Cat(IEnumerable<TensorData> tensors, int dim = 0)
    {
        TensorData[] parts = [.. tensors];
        if (parts.Length == 0) throw Errors.CreateException(ErrorCode.BadArgument, "cat: there are no tensors to join.");
        TensorData first = parts[0];
        if (first._shape.Length == 0)
            throw Errors.CreateException(ErrorCode.BadArgument, "cat: a tensor without dimensions cannot be joined.", "Use Stack.");
        int d = first.Dimension(dim);
        DType type = parts.Aggregate(first.Type, (common, part) => Promote(common, part.Type));
        long[] shape = [.. first._shape];
        shape[d] = 0;
        foreach (TensorData part in parts)
        {
            if (part._shape.Length != shape.Length || part._shape.Where((size, i) => i != d && size != shape[i]).Any())
                throw Errors.CreateException(ErrorCode.ShapeMismatch,
                    $"cat: the shapes {Text(first._shape)} and {Text(part._shape)} differ in more than dimension {d}.");
            shape[d] += part._shape[d];
        }
        var bytes = new byte[checked(ElementCount(shape) * type.ItemSize())];
        long outer = ElementCount(shape.AsSpan(..d)), inner = ElementCount(shape.AsSpan((d + 1)..)) * type.ItemSize();
        long at = 0;
        foreach (TensorData part in parts)
        {
            ReadOnlySpan<byte> source = part.To(type).Bytes.Span;
            int run = (int)(part._shape[d] * inner);
            for (int o = 0; o < outer; o++)
                source.Slice(o * run, run).CopyTo(bytes.AsSpan((int)((o * shape[d] * inner) + at)));
            at += run;
        }
        return new TensorData(type, shape, bytes);
    }

    /// <summary>Joins tensors of one shape along a new dimension. <para>PyTorch: <c>stack</c></para></summary>
    /// <exception cref="ShapeMismatchException">The shapes differ.</exception>
    public static TensorData Stack(IEnumerable<TensorData> tensors, int dim = 0)
    {
        TensorData[] parts = [.. tensors];
        foreach (TensorData part in parts)
            if (!part._shape.AsSpan().SequenceEqual(parts[0]._shape))
                throw Errors.CreateException(ErrorCode.ShapeMismatch,
                    $"stack: the shapes {Text(parts[0]._shape)} and {Text(part._shape)} differ.");
        return Cat(parts.Select(part => part.Unsqueeze(dim)), dim);
    }

    /// <summary>
    /// The matrix product: of matrices, vectors, and batches of matrices whose leading dimensions broadcast. <para>PyTorch: <c>matmul</c>
    /// </para>
    /// </summary>
    /// <exception cref="ShapeMismatchException">The inner sizes differ, or the leading dimensions do not broadcast.</exception>
    public TensorData MatMul(TensorData other)
    {
        if (_shape.Length == 0 || other._shape.Length == 0) throw Mismatch();
        TensorData left = _shape.Length == 1 ? Unsqueeze(0) : this;                            // [..., rows, inner]
        TensorData right = other._shape.Length == 1 ? other.Unsqueeze(0) : other.Transpose(-2, -1); // [..., columns, inner]
        (long rows, long columns, long inner) = (left._shape[^2], right._shape[^2], left._shape[^1]);
        if (inner != right._shape[^1] || BroadcastShapes(left._shape[..^2], right._shape[..^2]) is not { } batch) throw Mismatch();
        left = left.BroadcastTo([.. batch, rows, inner]);
        right = right.BroadcastTo([.. batch, columns, inner]);
        long[] shape =
        [
            .. batch, .. _shape.Length == 1 ? Array.Empty<long>() : [rows], .. other._shape.Length == 1 ? Array.Empty<long>() : [columns],
        ];
        DType type = Promote(Type, other.Type);
        return type is DType.Float64 ? In<double>(TensorPrimitives.Dot)
            : type.IsFloatingPoint() ? In<float>(TensorPrimitives.Dot) : In<long>(TensorPrimitives.Dot);

        TensorData In<T>(Func<ReadOnlySpan<T>, ReadOnlySpan<T>, T> dot) where T : unmanaged, INumber<T>
        {
            T[] a = left.Elements<T>(), b = right.Elements<T>();
            var result = new T[checked(ElementCount(batch) * rows * columns)];
            int width = (int)inner;
            for (int i = 0; i < result.Length; i++)
            {
                int row = (int)(i / columns), column = (int)((row / rows * columns) + (i % columns));
                result[i] = dot(a.AsSpan(row * width, width), b.AsSpan(column * width, width));
            }
            return FromElements<T>(result, shape, type);
        }

        Exception Mismatch() => Errors.CreateException(ErrorCode.ShapeMismatch,
            $"matmul: shapes {Text(_shape)} and {Text(other._shape)} cannot be multiplied.");
    }

    /// <summary>The distance of two neighbours in each dimension, in elements.</summary>
    private long[] Strides()
    {
        var strides = new long[_shape.Length];
        for (long d = _shape.Length - 1, stride = 1; d >= 0; stride *= _shape[d], d--) strides[d] = stride;
        return strides;
    }

    /// <summary>The positions of so many entries at a distance.</summary>
    private static long[] Steps(long count, long stride)
    {
        var steps = new long[count];
        for (int i = 0; i < steps.Length; i++) steps[i] = i * stride;
        return steps;
    }
}
