namespace Ndif;

// The little arithmetic that reading a result needs. What is large belongs into the trace, where the tensor is.
public sealed partial class TensorData
{
    /// <summary>The position of the largest element among all, or along a dimension, as int64. The first one wins.</summary>
    public TensorData ArgMax(int? dim = null) => Reduce(dim, DType.Int64, row => IndexOfBest(row, (a, b) => a > b));

    /// <summary>The position of the smallest element.</summary>
    public TensorData ArgMin(int? dim = null) => Reduce(dim, DType.Int64, row => IndexOfBest(row, (a, b) => a < b));

    public TensorData Max(int? dim = null) => Reduce(dim, Type, row => row.Aggregate(Math.Max));

    public TensorData Min(int? dim = null) => Reduce(dim, Type, row => row.Aggregate(Math.Min));

    public TensorData Sum(int? dim = null) => Reduce(dim, Type.IsFloatingPoint() ? Type : DType.Int64, row => row.Sum());

    /// <summary>The mean; of integers in float32.</summary>
    public TensorData Mean(int? dim = null) => Reduce(dim, Real(Type), row => row.Average());

    /// <summary>The Euclidean norm; of integers in float32.</summary>
    public TensorData Norm(int? dim = null) => Reduce(dim, Real(Type), row => Math.Sqrt(row.Sum(x => x * x)));

    /// <summary>The largest elements of the last dimension and where they are, largest first.</summary>
    public (TensorData Values, TensorData Indices) TopK(int k)
    {
        int width = (int)_shape[^1];
        if (k < 0 || k > width) throw new ArgumentOutOfRangeException(nameof(k), k, $"The last dimension has {width} elements.");
        double[] all = ToArray<double>();
        long[] shape = [.. _shape[..^1], k];
        long rows = width == 0 ? 0 : Count / width;
        var order = Enumerable.Range(0, (int)rows).SelectMany(r => Enumerable.Range(0, width).OrderByDescending(i => all[r * width + i]).Take(k).Select(i => (Row: r, Column: i))).ToArray();
        return (FromArray(order.Select(o => all[o.Row * width + o.Column]).ToArray(), shape).To(Type), FromArray(order.Select(o => (long)o.Column).ToArray(), shape));
    }

    /// <summary>Exponentials that sum to one along a dimension.</summary>
    public TensorData Softmax(int dim = -1) => ApplyAlong(dim, row =>
    {
        double largest = row.Max(), sum = row.Sum(x => Math.Exp(x - largest));
        return [.. row.Select(x => Math.Exp(x - largest) / sum)];
    });

    /// <summary>The product of a matrix [n, k] or vector [k] with a matrix [k, m] or vector [k]; for small ones.</summary>
    /// <exception cref="ShapeMismatchException">The inner sizes differ.</exception>
    public TensorData MatMul(TensorData other)
    {
        if (_shape.Length is not (1 or 2) || other._shape.Length is not (1 or 2) || _shape[^1] != other._shape[0])
            throw Errors.CreateException(Protocol.ErrorCode.ShapeMismatch, $"matmul: shapes [{string.Join(", ", _shape)}] and [{string.Join(", ", other._shape)}] cannot be multiplied.");
        int inner = checked((int)_shape[^1]), columns = other._shape.Length == 2 ? checked((int)other._shape[1]) : 1, rows = _shape.Length == 2 ? checked((int)_shape[0]) : 1;
        double[] left = ToArray<double>(), right = other.ToArray<double>(), result = new double[rows * columns]; // [batch, columns]
        for (int r = 0; r < rows; r++)
            for (int k = 0; k < inner; k++)
                for (int c = 0; c < columns; c++)
                    result[(r * columns) + c] += left[(r * inner) + k] * right[(k * columns) + c];
        return FromArray(result, result.Length).Reshape([.. _shape[..^1], .. other._shape[1..]]).To(PromoteTypes(this, other));
    }

    public static TensorData operator +(TensorData a, TensorData b) => ApplyElementwise(a, b, (x, y) => x + y);
    public static TensorData operator -(TensorData a, TensorData b) => ApplyElementwise(a, b, (x, y) => x - y);
    public static TensorData operator *(TensorData a, TensorData b) => ApplyElementwise(a, b, (x, y) => x * y);
    public static TensorData operator /(TensorData a, TensorData b) => ApplyElementwise(a, b, (x, y) => x / y);
    public static TensorData operator +(TensorData a, double b) => a.Map(x => x + b);
    public static TensorData operator -(TensorData a, double b) => a.Map(x => x - b);
    public static TensorData operator *(TensorData a, double b) => a.Map(x => x * b);
    public static TensorData operator *(double a, TensorData b) => b.Map(x => a * x);
    public static TensorData operator /(TensorData a, double b) => a.Map(x => x / b);
    public static TensorData operator -(TensorData a) => a.Map(x => -x);

    /// <summary>Same type, shape and bytes.</summary>
    public bool SameAs(TensorData other) => Type == other.Type && _shape.AsSpan().SequenceEqual(other._shape) && Bytes.Span.SequenceEqual(other.Bytes.Span);

    /// <summary>True if every element differs by at most atol + rtol * |other|, as torch.allclose.</summary>
    public bool AllClose(TensorData other, double rtol = 1e-5, double atol = 1e-8)
    {
        RequireSameShape(other);
        for (long i = 0; i < Count; i++)
            if (DoubleAt(i) != other.DoubleAt(i) && !(Math.Abs(DoubleAt(i) - other.DoubleAt(i)) <= atol + rtol * Math.Abs(other.DoubleAt(i)))) return false;
        return true;
    }

    /// <summary>The largest difference of two elements at the same place.</summary>
    public double MaxAbsDifference(TensorData other)
    {
        RequireSameShape(other);
        double most = 0;
        for (long i = 0; i < Count; i++)
        {
            if (DoubleAt(i).Equals(other.DoubleAt(i))) continue; // two infinities of one sign differ by nothing
            double difference = Math.Abs(DoubleAt(i) - other.DoubleAt(i));
            if (!(difference <= most)) most = difference;
            if (double.IsNaN(most)) return most;
        }
        return most;
    }

    private TensorData Map(Func<double, double> function) => FromArray(ToArray<double>().Select(function).ToArray(), checked((int)Count)).Reshape(_shape).To(Real(Type));

    private static DType Real(DType type) => type.IsFloatingPoint() ? type : DType.Float32;

    private static DType PromoteTypes(TensorData a, TensorData b) => a.Type.IsFloatingPoint() ? a.Type : Real(b.Type);

    /// <summary>Element by element; sizes of 1 and missing dimensions are repeated, as NumPy broadcasts.</summary>
    private static TensorData ApplyElementwise(TensorData a, TensorData b, Func<double, double, double> combine)
    {
        long[] shape = BroadcastShapes(a._shape, b._shape)
            ?? throw Errors.CreateException(Protocol.ErrorCode.ShapeMismatch, $"The shapes [{string.Join(", ", a._shape)}] and [{string.Join(", ", b._shape)}] do not broadcast.");
        double[] left = a.BroadcastTo(shape), right = b.BroadcastTo(shape);
        for (int i = 0; i < left.Length; i++) left[i] = combine(left[i], right[i]);
        return FromArray(left, left.Length).Reshape(shape).To(PromoteTypes(a, b));
    }

    private static long[]? BroadcastShapes(long[] a, long[] b)
    {
        var shape = new long[Math.Max(a.Length, b.Length)];
        for (int i = 1; i <= shape.Length; i++)
        {
            long x = i <= a.Length ? a[^i] : 1, y = i <= b.Length ? b[^i] : 1;
            if (x != y && x != 1 && y != 1) return null;
            shape[^i] = x == 1 ? y : x;
        }
        return shape;
    }

    /// <summary>The elements as they are repeated over a larger shape; always a fresh array.</summary>
    private double[] BroadcastTo(long[] shape)
    {
        double[] own = ToArray<double>();
        if (shape.AsSpan().SequenceEqual(_shape)) return own;
        var strides = new long[shape.Length];
        for (long i = 1, stride = 1; i <= _shape.Length; stride *= _shape[^(int)i], i++)
            strides[^(int)i] = _shape[^(int)i] == 1 ? 0 : stride;
        var spread = new double[ElementCount(shape)];
        for (long i = 0; i < spread.Length; i++)
        {
            long from = 0, rest = i;
            for (int d = shape.Length - 1; d >= 0; rest /= shape[d], d--) from += rest % shape[d] * strides[d];
            spread[i] = own[from];
        }
        return spread;
    }

    private TensorData Reduce(int? dim, DType type, Func<double[], double> reduce)
    {
        if (Count == 0) throw new InvalidOperationException("An empty tensor has nothing to reduce.");
        if (dim is null) return FromArray([reduce(ToArray<double>())], 1).Reshape().To(type);
        int d = NormalizeDimension(dim.Value);
        double[] results = [.. IndicesAlong(d).Select(row => reduce(row.Select(DoubleAt).ToArray()))];
        return FromArray(results, results.Length).Reshape([.. _shape[..d], .. _shape[(d + 1)..]]).To(type);
    }

    private TensorData ApplyAlong(int dim, Func<double[], double[]> function)
    {
        var bytes = new byte[Bytes.Length];
        foreach (long[] row in IndicesAlong(NormalizeDimension(dim)))
        {
            double[] changed = function(row.Select(DoubleAt).ToArray());
            for (int i = 0; i < row.Length; i++) WriteElement(bytes, Type, row[i], changed[i]);
        }
        return new TensorData(Type, _shape, bytes);
    }

    /// <summary>The positions of the elements along a dimension, for each place in the others.</summary>
    private IEnumerable<long[]> IndicesAlong(int dim)
    {
        long inner = _shape[(dim + 1)..].Aggregate(1L, (a, b) => a * b), size = _shape[dim], outer = size == 0 ? 0 : Count / size / Math.Max(1, inner);
        for (long o = 0; o < outer; o++)
            for (long i = 0; i < inner; i++)
                yield return [.. Enumerable.Range(0, (int)size).Select(k => (o * size + k) * inner + i)];
    }

    private int NormalizeDimension(int dim) => dim >= -_shape.Length && dim < _shape.Length ? dim < 0 ? dim + _shape.Length : dim
        : throw Errors.CreateException(Protocol.ErrorCode.IndexOutOfRange, $"Dimension out of range (expected to be in range of [{-_shape.Length}, {_shape.Length - 1}], but got {dim})");

    private void RequireSameShape(TensorData other)
    {
        if (!_shape.AsSpan().SequenceEqual(other._shape))
            throw Errors.CreateException(Protocol.ErrorCode.ShapeMismatch, $"The shapes [{string.Join(", ", _shape)}] and [{string.Join(", ", other._shape)}] differ.");
    }

    private static double IndexOfBest(double[] values, Func<double, double, bool> isBetter)
    {
        int best = 0;
        for (int i = 1; i < values.Length; i++)
            if (isBetter(values[i], values[best]) || (double.IsNaN(values[i]) && !double.IsNaN(values[best]))) best = i;
        return best;
    }
}
