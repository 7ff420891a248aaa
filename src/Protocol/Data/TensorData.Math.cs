using Ndif.Protocol;

namespace Ndif;

// The arithmetic that evaluating a small result needs. Large computations belong in the trace.
public sealed partial class TensorData
{
    /// <summary>The index of the largest element among all, or along a dimension, as int64; the first of equal ones.</summary>
    public TensorData ArgMax(int? dim = null) => Reduce(dim, DType.Int64, row => IndexOfBest(row, (a, b) => a > b));

    /// <summary>The index of the smallest element among all, or along a dimension, as int64; the first of equal ones.</summary>
    public TensorData ArgMin(int? dim = null) => Reduce(dim, DType.Int64, row => IndexOfBest(row, (a, b) => a < b));

    /// <summary>The largest element of all, or along a dimension.</summary>
    public TensorData Max(int? dim = null) => Reduce(dim, Type, row => row.Aggregate(Math.Max));

    /// <summary>The smallest element of all, or along a dimension.</summary>
    public TensorData Min(int? dim = null) => Reduce(dim, Type, row => row.Aggregate(Math.Min));

    /// <summary>The sum of all elements, or along a dimension; of integers and flags as int64.</summary>
    public TensorData Sum(int? dim = null) => Reduce(dim, Type.IsFloatingPoint() ? Type : DType.Int64, row => row.Sum());

    /// <summary>The mean of all elements, or along a dimension; of integers in float32.</summary>
    public TensorData Mean(int? dim = null) => Reduce(dim, Real(Type), row => row.Average());

    /// <summary>The Euclidean norm of all elements, or along a dimension; of integers in float32.</summary>
    public TensorData Norm(int? dim = null) => Reduce(dim, Real(Type), row => Math.Sqrt(row.Sum(x => x * x)));

    /// <summary>The largest elements of the last dimension, largest first, and their indices. [..., k]</summary>
    /// <exception cref="ArgumentOutOfRangeException">The last dimension has fewer elements.</exception>
    public (TensorData Values, TensorData Indices) TopK(int k)
    {
        int size = (int)_shape[^1];
        if (k < 0 || k > size) throw new ArgumentOutOfRangeException(nameof(k), k, $"The last dimension has {size} elements.");
        double[] all = ToArray<double>();
        long[] shape = [.. _shape[..^1], k];
        int rows = size == 0 ? 0 : (int)(Count / size);
        (int Row, int Column)[] order = [.. Enumerable.Range(0, rows).SelectMany(row =>
            Enumerable.Range(0, size).OrderByDescending(column => all[row * size + column]).Take(k).Select(column => (row, column)))];
        double[] values = Array.ConvertAll(order, o => all[o.Row * size + o.Column]);
        return (FromArray(values, shape).To(Type), FromArray(Array.ConvertAll(order, o => (long)o.Column), shape));
    }

    /// <summary>The exponentials of the elements divided by their sum along a dimension.</summary>
    public TensorData Softmax(int dim = -1) => ApplyAlong(dim, row =>
    {
        double largest = row.Max(), sum = row.Sum(x => Math.Exp(x - largest));
        return [.. row.Select(x => Math.Exp(x - largest) / sum)];
    });

    /// <summary>The product of a matrix [n, k] or vector [k] and a matrix [k, m] or vector [k]; for small ones.</summary>
    /// <exception cref="ShapeMismatchException">The inner sizes differ.</exception>
    public TensorData MatMul(TensorData other)
    {
        if (_shape.Length is not (1 or 2) || other._shape.Length is not (1 or 2) || _shape[^1] != other._shape[0])
            throw Errors.CreateException(ErrorCode.ShapeMismatch,
                $"matmul: shapes [{string.Join(", ", _shape)}] and [{string.Join(", ", other._shape)}] cannot be multiplied.");
        int inner = checked((int)_shape[^1]);
        int columns = other._shape.Length == 2 ? checked((int)other._shape[1]) : 1, rows = _shape.Length == 2 ? checked((int)_shape[0]) : 1;
        double[] left = ToArray<double>(), right = other.ToArray<double>(), result = new double[rows * columns]; // [rows, columns]
        for (int r = 0; r < rows; r++)
            for (int k = 0; k < inner; k++)
                for (int c = 0; c < columns; c++)
                    result[(r * columns) + c] += left[(r * inner) + k] * right[(k * columns) + c];
        return FromArray(result, result.Length).Reshape([.. _shape[..^1], .. other._shape[1..]]).To(PromoteTypes(this, other));
    }

    /// <summary>Adds element by element, with broadcasting.</summary>
    public static TensorData operator +(TensorData a, TensorData b) => ApplyElementwise(a, b, (x, y) => x + y);
    /// <summary>Subtracts element by element, with broadcasting.</summary>
    public static TensorData operator -(TensorData a, TensorData b) => ApplyElementwise(a, b, (x, y) => x - y);
    /// <summary>Multiplies element by element, with broadcasting.</summary>
    public static TensorData operator *(TensorData a, TensorData b) => ApplyElementwise(a, b, (x, y) => x * y);
    /// <summary>Divides element by element, with broadcasting; integers in float32.</summary>
    public static TensorData operator /(TensorData a, TensorData b) => ApplyElementwise(a, b, (x, y) => x / y);
    /// <summary>Adds a number to each element.</summary>
    public static TensorData operator +(TensorData a, double b) => a.Map(x => x + b);
    /// <summary>Subtracts a number from each element.</summary>
    public static TensorData operator -(TensorData a, double b) => a.Map(x => x - b);
    /// <summary>Multiplies each element by a number.</summary>
    public static TensorData operator *(TensorData a, double b) => a.Map(x => x * b);
    /// <summary>Multiplies each element by a number.</summary>
    public static TensorData operator *(double a, TensorData b) => b.Map(x => a * x);
    /// <summary>Divides each element by a number.</summary>
    public static TensorData operator /(TensorData a, double b) => a.Map(x => x / b);
    /// <summary>Changes the sign of each element.</summary>
    public static TensorData operator -(TensorData a) => a.Map(x => -x);

    /// <summary>True if type, shape and bytes are equal.</summary>
    public bool SameAs(TensorData other) =>
        Type == other.Type && _shape.AsSpan().SequenceEqual(other._shape) && Bytes.Span.SequenceEqual(other.Bytes.Span);

    /// <summary>True if every element differs by at most atol + rtol * |other|, as <c>torch.allclose</c>.</summary>
    /// <exception cref="ShapeMismatchException">The shapes differ.</exception>
    public bool AllClose(TensorData other, double rtol = 1e-5, double atol = 1e-8)
    {
        RequireSameShape(other);
        for (long i = 0; i < Count; i++)
        {
            double x = DoubleAt(i), y = other.DoubleAt(i);
            if (x != y && !(Math.Abs(x - y) <= atol + rtol * Math.Abs(y))) return false;
        }
        return true;
    }

    /// <summary>The largest absolute difference of two corresponding elements; NaN if one is NaN.</summary>
    /// <exception cref="ShapeMismatchException">The shapes differ.</exception>
    public double MaxAbsDifference(TensorData other)
    {
        RequireSameShape(other);
        double largest = 0;
        for (long i = 0; i < Count; i++)
        {
            if (DoubleAt(i).Equals(other.DoubleAt(i))) continue; // two infinities of one sign differ by nothing
            double difference = Math.Abs(DoubleAt(i) - other.DoubleAt(i));
            if (!(difference <= largest)) largest = difference;
            if (double.IsNaN(largest)) return largest;
        }
        return largest;
    }

    private TensorData Map(Func<double, double> function) =>
        FromArray(ToArray<double>().Select(function).ToArray(), checked((int)Count)).Reshape(_shape).To(Real(Type));

    private static DType Real(DType type) => type.IsFloatingPoint() ? type : DType.Float32;

    private static DType PromoteTypes(TensorData a, TensorData b) => a.Type.IsFloatingPoint() ? a.Type : Real(b.Type);

    /// <summary>Combines element by element, with NumPy's broadcasting.</summary>
    private static TensorData ApplyElementwise(TensorData a, TensorData b, Func<double, double, double> combine)
    {
        long[] shape = BroadcastShapes(a._shape, b._shape)
            ?? throw Errors.CreateException(ErrorCode.ShapeMismatch,
                $"The shapes [{string.Join(", ", a._shape)}] and [{string.Join(", ", b._shape)}] do not broadcast.");
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

    /// <summary>The elements broadcast to a larger shape, in a new array.</summary>
    private double[] BroadcastTo(long[] shape)
    {
        double[] elements = ToArray<double>();
        if (shape.AsSpan().SequenceEqual(_shape)) return elements;
        var strides = new long[shape.Length];
        for (long i = 1, stride = 1; i <= _shape.Length; stride *= _shape[^(int)i], i++)
            strides[^(int)i] = _shape[^(int)i] == 1 ? 0 : stride;
        var broadcast = new double[ElementCount(shape)];
        for (long i = 0; i < broadcast.Length; i++)
        {
            long from = 0, rest = i;
            for (int d = shape.Length - 1; d >= 0; rest /= shape[d], d--) from += rest % shape[d] * strides[d];
            broadcast[i] = elements[from];
        }
        return broadcast;
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

    /// <summary>The positions of the elements along a dimension, for each index of the other dimensions.</summary>
    private IEnumerable<long[]> IndicesAlong(int dim)
    {
        long inner = _shape[(dim + 1)..].Aggregate(1L, (a, b) => a * b), size = _shape[dim];
        long outer = size == 0 ? 0 : Count / size / Math.Max(1, inner);
        for (long o = 0; o < outer; o++)
            for (long i = 0; i < inner; i++)
                yield return [.. Enumerable.Range(0, (int)size).Select(k => (o * size + k) * inner + i)];
    }

    private int NormalizeDimension(int dim) => dim >= -_shape.Length && dim < _shape.Length ? dim < 0 ? dim + _shape.Length : dim
        : throw Errors.CreateException(ErrorCode.IndexOutOfRange,
            $"Dimension out of range (expected to be in range of [{-_shape.Length}, {_shape.Length - 1}], but got {dim})");

    private void RequireSameShape(TensorData other)
    {
        if (!_shape.AsSpan().SequenceEqual(other._shape))
            throw Errors.CreateException(ErrorCode.ShapeMismatch,
                $"The shapes [{string.Join(", ", _shape)}] and [{string.Join(", ", other._shape)}] differ.");
    }

    private static double IndexOfBest(double[] values, Func<double, double, bool> isBetter)
    {
        int best = 0;
        for (int i = 1; i < values.Length; i++)
            if (isBetter(values[i], values[best]) || (double.IsNaN(values[i]) && !double.IsNaN(values[best]))) best = i;
        return best;
    }
}
