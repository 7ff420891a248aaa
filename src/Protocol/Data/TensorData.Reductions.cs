using System.Numerics;
using System.Numerics.Tensors;
using Ndif.Protocol;

namespace Ndif;

// Reductions and functions along dimensions, with PyTorch's names, arguments and result types. Real numbers are added up in float64, and
// the result is rounded to its type once.
public sealed partial class TensorData
{
    /// <summary>
    /// The sum of all elements, or along dimensions; of whole numbers and flags as int64. <para>PyTorch: <c>sum</c></para>
    /// </summary>
    public TensorData Sum(Dims? dim = null, bool keepdim = false) => Type.IsFloatingPoint()
        ? Reduce<double>(dim, keepdim, Type, TensorPrimitives.Sum) : Reduce<long>(dim, keepdim, DType.Int64, TensorPrimitives.Sum);

    /// <summary>The mean of all elements, or along dimensions; NaN of none. <para>PyTorch: <c>mean</c></para></summary>
    public TensorData Mean(Dims? dim = null, bool keepdim = false) =>
        Reduce<double>(dim, keepdim, Real(Type), row => TensorPrimitives.Sum(row) / row.Length);

    /// <summary>The variance of all elements, or along dimensions. <para>PyTorch: <c>var</c></para></summary>
    /// <param name="correction">1 divides by the number of elements less one (Bessel's correction), 0 by their number.</param>
    public TensorData Var(Dims? dim = null, double correction = 1, bool keepdim = false) =>
        Reduce<double>(dim, keepdim, Real(Type), row => Variance(row, correction));

    /// <summary>The standard deviation of all elements, or along dimensions. <para>PyTorch: <c>std</c></para></summary>
    /// <param name="correction">1 divides by the number of elements less one (Bessel's correction), 0 by their number.</param>
    public TensorData Std(Dims? dim = null, double correction = 1, bool keepdim = false) =>
        Reduce<double>(dim, keepdim, Real(Type), row => Math.Sqrt(Variance(row, correction)));

    /// <summary>
    /// The p-norm of all elements, or along dimensions: <c>x.Norm()</c> is the Euclidean norm of all, <c>x.Norm(dim: -1)</c> that of each
    /// row. <para>PyTorch: <c>norm</c></para>
    /// </summary>
    /// <param name="p">
    /// The exponent; infinity gives the largest absolute value, minus infinity the smallest, and 0 the number of elements that are not 0.
    /// </param>
    public TensorData Norm(double p = 2, Dims? dim = null, bool keepdim = false) =>
        Reduce<double>(dim, keepdim, Real(Type), row => PNorm(row, p));

    /// <summary>log(sum(exp(x))) of the elements along dimensions, without overflow. <para>PyTorch: <c>logsumexp</c></para></summary>
    public TensorData LogSumExp(Dims dim, bool keepdim = false) => Reduce<double>(dim, keepdim, Real(Type), LogSumExp);

    /// <summary>The largest element of all; NaN if one is. <para>PyTorch: <c>max</c></para></summary>
    public TensorData Max() => Amax();

    /// <summary>The smallest element of all; NaN if one is. <para>PyTorch: <c>min</c></para></summary>
    public TensorData Min() => Amin();

    /// <summary>The largest elements along a dimension and their indices, as int64. <para>PyTorch: <c>max</c></para></summary>
    public (TensorData Values, TensorData Indices) Max(int dim, bool keepdim = false) => (Amax(dim, keepdim), ArgMax(dim, keepdim));

    /// <summary>The smallest elements along a dimension and their indices, as int64. <para>PyTorch: <c>min</c></para></summary>
    public (TensorData Values, TensorData Indices) Min(int dim, bool keepdim = false) => (Amin(dim, keepdim), ArgMin(dim, keepdim));

    /// <summary>The largest element of all, or along dimensions. <para>PyTorch: <c>amax</c></para></summary>
    /// <exception cref="BadProgramException">BAD_ARGUMENT: there are no elements to choose from.</exception>
    public TensorData Amax(Dims? dim = null, bool keepdim = false) => Best(dim, keepdim, isLargest: true);

    /// <summary>The smallest element of all, or along dimensions. <para>PyTorch: <c>amin</c></para></summary>
    /// <exception cref="BadProgramException">BAD_ARGUMENT: there are no elements to choose from.</exception>
    public TensorData Amin(Dims? dim = null, bool keepdim = false) => Best(dim, keepdim, isLargest: false);

    /// <summary>
    /// The index of the largest element among all, or along a dimension, as int64; the first of equal ones. <para>PyTorch: <c>argmax</c>
    /// </para>
    /// </summary>
    /// <exception cref="BadProgramException">BAD_ARGUMENT: there are no elements to choose from.</exception>
    public TensorData ArgMax(int? dim = null, bool keepdim = false) => BestIndex(dim, keepdim, isLargest: true);

    /// <summary>
    /// The index of the smallest element among all, or along a dimension, as int64; the first of equal ones. <para>PyTorch: <c>argmin</c>
    /// </para>
    /// </summary>
    /// <exception cref="BadProgramException">BAD_ARGUMENT: there are no elements to choose from.</exception>
    public TensorData ArgMin(int? dim = null, bool keepdim = false) => BestIndex(dim, keepdim, isLargest: false);

    /// <summary>
    /// The k largest (or smallest) elements along a dimension, the best first, and their indices. Of equal elements the first comes first.
    /// <para>PyTorch: <c>topk</c></para>
    /// </summary>
    /// <exception cref="ArgumentOutOfRangeException">The dimension has fewer elements.</exception>
    public (TensorData Values, TensorData Indices) TopK(int k, int dim = -1, bool largest = true)
    {
        long size = _shape.Length == 0 ? 1 : _shape[Dimension(dim)];
        if (k < 0 || k > size) throw new ArgumentOutOfRangeException(nameof(k), k, $"Dimension {dim} has {size} elements.");
        return Type.IsFloatingPoint() ? Of<double>() : Of<long>();

        (TensorData, TensorData) Of<T>() where T : unmanaged, INumber<T>
        {
            (TensorData rows, int length, int[]? order) = RowsAlong(dim);
            T[] elements = rows.Elements<T>();
            int count = length == 0 ? 0 : elements.Length / length;
            T[] values = new T[count * k];
            long[] indices = new long[count * k];
            var positions = new int[length];
            for (int row = 0; row < count; row++)
            {
                int start = row * length;
                for (int i = 0; i < length; i++) positions[i] = i;
                Array.Sort(positions, (a, b) => Compare(elements[start + a], elements[start + b]) is var c && c != 0 ? c : a.CompareTo(b));
                for (int i = 0; i < k; i++)
                    (values[(row * k) + i], indices[(row * k) + i]) = (elements[start + positions[i]], positions[i]);
            }
            long[] shape = order is null ? k == 1 ? [] : [0] : [.. rows._shape[..^1], k];
            return (Restore(FromElements<T>(values, shape, Type), order), Restore(FromElements<long>(indices, shape, DType.Int64), order));
        }

        // NaN is larger than any number
        int Compare<T>(T a, T b) where T : INumber<T>
        {
            int order = T.IsNaN(a) || T.IsNaN(b) ? T.IsNaN(a).CompareTo(T.IsNaN(b)) : a.CompareTo(b);
            return largest ? -order : order;
        }
    }

    /// <summary>The exponentials of the elements divided by their sum along a dimension. <para>PyTorch: <c>softmax</c></para></summary>
    public TensorData Softmax(int dim = -1) => MapAlong<double>(dim, Real(Type), static (row, result) =>
    {
        if (row.Length == 0) return;
        TensorPrimitives.Subtract(row, TensorPrimitives.Max(row), result);
        TensorPrimitives.Exp(result, result);
        TensorPrimitives.Divide(result, TensorPrimitives.Sum<double>(result), result);
    });

    /// <summary>The logarithm of the softmax along a dimension. <para>PyTorch: <c>log_softmax</c></para></summary>
    public TensorData LogSoftmax(int dim = -1) => MapAlong<double>(dim, Real(Type), static (row, result) =>
        TensorPrimitives.Subtract(row, LogSumExp(row), result));

    /// <summary>The sums of the elements up to each one along a dimension. <para>PyTorch: <c>cumsum</c></para></summary>
    public TensorData CumSum(int dim) => Type.IsFloatingPoint()
        ? MapAlong<double>(dim, Type, Accumulate) : MapAlong<long>(dim, DType.Int64, Accumulate);

    private static void Accumulate<T>(ReadOnlySpan<T> row, Span<T> result) where T : INumber<T>
    {
        T sum = T.Zero;
        for (int i = 0; i < row.Length; i++) result[i] = sum = unchecked(sum + row[i]);
    }

    private static double Variance(ReadOnlySpan<double> row, double correction)
    {
        double mean = TensorPrimitives.Sum(row) / row.Length, sum = 0;
        foreach (double x in row) sum += (x - mean) * (x - mean);
        return sum / Math.Max(0, row.Length - correction);
    }

    private static double PNorm(ReadOnlySpan<double> row, double p)
    {
        if (row.Length == 0) return p < 0 ? double.PositiveInfinity : 0;
        switch (p)
        {
            case 2: return TensorPrimitives.Norm(row);
            case 1: return TensorPrimitives.SumOfMagnitudes(row);
            case double.PositiveInfinity: return Math.Abs(TensorPrimitives.MaxMagnitude(row));
            case double.NegativeInfinity: return Math.Abs(TensorPrimitives.MinMagnitude(row));
        }
        double sum = 0;
        foreach (double x in row) sum += p == 0 ? x != 0 ? 1 : 0 : Math.Pow(Math.Abs(x), p);
        return p == 0 ? sum : Math.Pow(sum, 1 / p);
    }

    private static double LogSumExp(ReadOnlySpan<double> row)
    {
        if (row.Length == 0) return double.NegativeInfinity;
        double largest = TensorPrimitives.Max(row), sum = 0;
        if (double.IsInfinity(largest)) return largest;
        foreach (double x in row) sum += Math.Exp(x - largest);
        return largest + Math.Log(sum);
    }

    private TensorData Best(Dims? dim, bool keepdim, bool isLargest)
    {
        return Type.IsFloatingPoint()
            ? Reduce<double>(dim, keepdim, Type, Choose) : Reduce<long>(dim, keepdim, Type, Choose);

        T Choose<T>(ReadOnlySpan<T> row) where T : INumber<T> => row[IndexOfBest(row, isLargest)];
    }

    private TensorData BestIndex(int? dim, bool keepdim, bool isLargest)
    {
        Dims? dims = dim is { } one ? one : (Dims?)null;
        return Type.IsFloatingPoint()
            ? Reduce<double>(dims, keepdim, DType.Int64, row => IndexOfBest(row, isLargest))
            : Reduce<long>(dims, keepdim, DType.Int64, row => IndexOfBest(row, isLargest));
    }

    private static int IndexOfBest<T>(ReadOnlySpan<T> row, bool isLargest) where T : INumber<T>
    {
        if (row.Length == 0)
            throw Errors.CreateException(ErrorCode.BadArgument, "There is no largest or smallest element of none: the dimension is empty.");
        int best = 0;
        for (int i = 1; i < row.Length; i++)
            if ((isLargest ? row[i] > row[best] : row[i] < row[best]) || (T.IsNaN(row[i]) && !T.IsNaN(row[best]))) best = i;
        return best;
    }

    private TensorData Reduce<T>(Dims? dim, bool keepdim, DType type, Func<ReadOnlySpan<T>, T> reduce) where T : unmanaged, INumber<T>
    {
        int[] reduced = dim is null || !dim.Any() ? [.. Enumerable.Range(0, _shape.Length)] : Dimensions(dim);
        int[] kept = [.. Enumerable.Range(0, _shape.Length).Except(reduced)];
        long[] shape = keepdim ? [.. _shape.Select((size, d) => reduced.Contains(d) ? 1 : size)] : [.. kept.Select(d => _shape[d])];
        T[] elements = Permute([.. kept, .. reduced.Order()]).Elements<T>();
        int length = checked((int)reduced.Aggregate(1L, (product, d) => product * _shape[d]));
        var results = new T[ElementCount(shape)];
        for (int row = 0; row < results.Length; row++) results[row] = reduce(elements.AsSpan(row * length, length));
        return FromElements<T>(results, shape, type);
    }

    private TensorData MapAlong<T>(int dim, DType type, Action<ReadOnlySpan<T>, Span<T>> function) where T : unmanaged, INumber<T>
    {
        (TensorData rows, int length, int[]? order) = RowsAlong(dim);
        T[] elements = rows.Elements<T>();
        for (int start = 0; start < elements.Length; start += length)
            function(elements.AsSpan(start, length), elements.AsSpan(start, length));
        return Restore(FromElements<T>(elements, rows._shape, type), order);
    }

    /// <summary>The tensor with a dimension moved to the end, its size, and the order of the dimensions; null if there are none.</summary>
    private (TensorData Rows, int Length, int[]? Order) RowsAlong(int dim)
    {
        int d = Dimension(dim);
        if (_shape.Length == 0) return (this, 1, null);
        int[] order = [.. Enumerable.Range(0, _shape.Length).Where(other => other != d), d];
        return (Permute(order), checked((int)_shape[d]), order);
    }

    private static TensorData Restore(TensorData rows, int[]? order) => order is null ? rows
        : rows.Permute([.. Enumerable.Range(0, order.Length).Select(d => Array.IndexOf(order, d))]);

    private int[] Dimensions(IEnumerable<int> dims)
    {
        int[] normalized = [.. dims.Select(Dimension)];
        if (normalized.Distinct().Count() < normalized.Length)
            throw Errors.CreateException(ErrorCode.BadArgument, $"A dimension is named twice: [{string.Join(", ", dims)}].");
        return _shape.Length == 0 ? [] : normalized;
    }

    /// <summary>The dimension from the front. A tensor without dimensions accepts 0 and -1, as PyTorch does.</summary>
    private int Dimension(int dim)
    {
        int count = Math.Max(1, _shape.Length);
        return dim >= -count && dim < count ? dim < 0 ? dim + count : dim
            : throw Errors.CreateException(ErrorCode.IndexOutOfRange,
                $"Dimension out of range (expected to be in range of [{-count}, {count - 1}], but got {dim})");
    }
}
