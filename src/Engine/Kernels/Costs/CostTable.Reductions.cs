using TorchSharp;
using static TorchSharp.torch;
using Tensor = TorchSharp.torch.Tensor;

namespace Ndif.Engine.Kernels.Costs;

/// <summary>Reductions, sums along a dimension, sorting and searching.</summary>
internal static partial class CostTable
{
    private static IEnumerable<(string Names, CostEntry Entry)> ReductionRows() =>
    [
        Row("sum mean", SmallProduct, (in a) => Reduction(a, 1, work: 1, type: 3), (in a) => RowSplit.Reduce(a, KernelTable.Dims(a, 1), 2)),
        Row("nansum", SmallProduct, (in a) => Reduction(a, 1, work: 3, copies: 1, type: 3),
            (in a) => RowSplit.Reduce(a, KernelTable.Dims(a, 1), 2)),
        Row("nanmean", SmallProduct, (in a) => Reduction(a, 1, work: 5, copies: 4, type: 3),
            (in a) => RowSplit.Reduce(a, KernelTable.Dims(a, 1), 2)),
        Row("var std", SmallProduct, (in a) => Reduction(a, 1, work: 6), (in a) => RowSplit.Reduce(a, KernelTable.Dims(a, 1), 3)),
        Row("norm", SmallProduct, (in a) => Reduction(a, 2, work: 6, type: 4),
            (in a) => RowSplit.Reduce(a, KernelTable.Dims(a, 2), 3)),
        Row("linalg_vector_norm", SmallProduct, (in a) => Reduction(a, 2, work: 6),
            (in a) => RowSplit.Reduce(a, KernelTable.Dims(a, 2), 3)),
        Row("amax amin", SmallProduct, (in a) => Reduction(a, 1, work: 1), (in a) => RowSplit.Extremes(a, KernelTable.Dims(a, 1), 2)),
        Row("logsumexp", SmallProduct, (in a) => Reduction(a, 1, work: 12, copies: 2),
            (in a) => RowSplit.Reduce(a, KernelTable.Dims(a, 1), 2)),
        Row("count_nonzero", SmallProduct,
            (in a) => Reduction(a, 1, work: 4) with { WorkspaceBytes = Count(a, 0) * (1 + sizeof(long)) }),
        // a product of many numbers is soon a subnormal one, with which processors are slow
        Row("prod", SmallProduct, (in a) => ReductionAlong(a, 1, 2, work: 25, type: 3), (in a) => RowSplit.ReduceAlong(a, 1, 2)),
        // without a dimension they copy what is not contiguous
        Row("max min argmax argmin all any", SmallProduct, (in a) => ReductionAlong(a, 1, 2, work: 3,
            copies: a[0] is Tensor self && !self.is_contiguous() ? 1 : 0),
            (in a) => RowSplit.ReduceAlong(a, 1, 2)),
        Row("median", SmallProduct >> 4, (in a) => OrderStatistic(a, 1), (in a) => RowSplit.ReduceAlong(a, 1, 2)),
        Row("mode", SmallProduct, (in a) => ReductionAlong(a, 1, 2, work: 80, copies: 4), (in a) => RowSplit.ReduceAlong(a, 1, 2)),
        Row("kthvalue", SmallProduct >> 4, (in a) => OrderStatistic(a, 2), (in a) => RowSplit.ReduceAlong(a, 2, 3)),
        Row("quantile nanquantile", SmallMatrix, Quantiles),
        Row("cumsum", SmallProduct, (in a) => new OpCost(Count(a, 0) * 8, ConvertedBytes(a, 2), 4 * Count(a, 0)),
            (in a) => RowSplit.Rows(a, [a.Int(1)])),
        Row("cumprod", SmallProduct, (in a) => new OpCost(Count(a, 0) * 8, ConvertedBytes(a, 2), 25 * Count(a, 0)),
            (in a) => RowSplit.Rows(a, [a.Int(1)])),
        Row("cummax cummin", SmallProduct, (in a) => new OpCost(Bytes(a, 0) + Count(a, 0) * 8, 0, 8 * Count(a, 0)),
            (in a) => RowSplit.Rows(a, [a.Int(1)])),
        Cancellable("diff", 0, Diff),
        Row("cov corrcoef", 0, Covariance),
        Row("sort argsort", SmallProduct >> 4, (in a) => Sort(a, a.Int(1)), (in a) => RowSplit.Rows(a, [a.Int(1)])),
        Row("topk", 0, TopK, (in a) => RowSplit.Rows(a, [a.Int(2)])),
        Row("unique", SmallProduct >> 6, Unique),
        Row("searchsorted", SmallProduct >> 4, Searched),
        Row("bucketize isin", SmallProduct >> 4, (in a) => new OpCost(Count(a, 0) * 8, (Bytes(a, 0) + Bytes(a, 1)) * 4 + Count(a, 0) * 8,
            10 * (Count(a, 0) + Count(a, 1)) * Log2(Count(a, 0) + Count(a, 1)))),
        // the largest element decides about the result: the kernel reads it, and checks
        Row("bincount", SmallProduct, (in a) =>
            new OpCost(0, Bytes(a, 0) + Count(a, 0) + (a.Has(1) ? sizeof(double) * Count(a, 1) : 0), 8 * Count(a, 0))),
        Cancellable("nonzero argwhere", SmallProduct, (in a) => new OpCost(0, 0, 8 * Count(a, 0))),
        Row("masked_select", SmallProduct, (in a) => new OpCost(0, 17 * BroadcastCount(a), 16 * BroadcastCount(a))),
    ];

    /// <summary>The size of a dimension of the first argument, which may be counted from the back; 1 for a number.</summary>
    private static double SizeOf(in OpArguments a, long dim) =>
        a[0] is Tensor { ndim: > 0 } self ? self.shape[KernelGuards.WrapDim(a.Schema.Name, dim, self.ndim)] : 1;

    private static double Log2(double count) => Math.Max(1, Math.Log2(Math.Max(count, 2)));

    /// <summary>
    /// The bytes of the copy of the argument in the type in which it is summed (make_reduction in aten/src/ATen/native/ReduceOpsUtils.h):
    /// integers in int64, and any in the type that is asked for; for a mean, half types in float32.
    /// </summary>
    private static double ConvertedBytes(in OpArguments a, int type) => a[0] is not Tensor self ? 0
        : a.DType(type) is { } asked && asked != self.dtype
            ? (double)self.numel() * Math.Max(KernelGuards.ElementSize(asked), sizeof(float))
        : self.dtype is ScalarType.Int64 or ScalarType.Float32 or ScalarType.Float64 ? 0
        : (double)self.numel() * (is_floating_point(self) ? sizeof(float) : sizeof(long));

    /// <param name="type">The position of the type in which the elements are summed, or -1.</param>
    private static OpCost Reduction(in OpArguments a, int dims, double work, double copies = 0, int type = -1)
    {
        double count = Count(a, 0), results = CountWithout(a, 0, KernelTable.Dims(a, dims));
        return new OpCost(8 * results, copies * count * Math.Max(4, ElementBytes(a, 0)) + (type < 0 ? 0 : ConvertedBytes(a, type)),
            work * Math.Max(count, results) * WidestFactor(a));
    }

    private static OpCost ReductionAlong(in OpArguments a, int dim, int keepdim, double work, double copies = 0, int type = -1)
    {
        double count = Count(a, 0), results = a.Has(dim) ? CountWithout(a, 0, a.Int(dim)) : 1;
        return new OpCost(16 * results, copies * count * Math.Max(4, ElementBytes(a, 0)) + (type < 0 ? 0 : ConvertedBytes(a, type)),
            work * Math.Max(count, results) * WidestFactor(a));
    }

    /// <summary>Both arguments are copied if they are expanded, and in the wider type if theirs differ.</summary>
    private static OpCost Searched(in OpArguments a)
    {
        double values = Count(a, 1), all = Count(a, 0) + values, copies = Bytes(a, 0) + Bytes(a, 1);
        if (a[0] is Tensor sorted && a[1] is Tensor searched && sorted.dtype != searched.dtype) copies += all * PromotedBytes(a);
        return new OpCost(8 * values, copies, 4 * all + 8 * values * Log2(Count(a, 0)));
    }

    private static OpCost Sort(in OpArguments a, long dim)
    {
        double count = Count(a, 0);
        double length = SizeOf(a, dim);
        return new OpCost(Bytes(a, 0) + 8 * count, Bytes(a, 0) + 16 * count, 6 * count * Log2(length));
    }

    /// <summary>A value of each row, or of all elements, which is selected; a long row may be chosen to take a sort.</summary>
    private static OpCost OrderStatistic(in OpArguments a, int dim)
    {
        double count = Count(a, 0), results = a.Has(dim) ? CountWithout(a, 0, a.Int(dim)) : 1;
        double length = a.Has(dim) ? SizeOf(a, a.Int(dim)) : count;
        double bytes = count * (Math.Max(4, ElementBytes(a, 0)) + sizeof(long)), work = 20, longest = work;
        if (length > KernelTable.LongRow)
        {
            longest = 12 + 6 * Log2(length);
            if (a.Has(dim)) bytes = 2 * bytes + sizeof(long) * count;
        }
        return new OpCost(16 * results, bytes, longest * Math.Max(count, results) * WidestFactor(a), TypicalShare: work / longest);
    }

    private static OpCost TopK(in OpArguments a)
    {
        const int Threads = 64; // each sorts a row of values and indices
        double length = SizeOf(a, a.Int(2)), taken = Math.Clamp(a.Int(1), 0, length), results = CountWithout(a, 0, a.Int(2)) * taken;
        // a heap of the taken ones, or a partition and a sort (topk_impl_loop in aten/src/ATen/native/TopKImpl.h)
        double comparisons = 6 * Log2(taken * 64 <= length ? taken : length);
        return new OpCost(results * (ElementBytes(a, 0) + 8), Math.Min(Count(a, 0), Threads * length) * 16,
            (20 + comparisons) * Count(a, 0));
    }

    private static OpCost Quantiles(in OpArguments a)
    {
        double count = Count(a, 0), quantiles = a[1] is Tensor q ? q.numel() : a[1] is IReadOnlyList<object?> list ? list.Count : 1;
        double length = a.Has(2) ? SizeOf(a, a.Int(2)) : count, results = quantiles * (a.Has(2) ? CountWithout(a, 0, a.Int(2)) : 1);
        return new OpCost(results * 8, 2 * Bytes(a, 0) + 16 * count + 5 * 8 * results, 6 * count * Log2(length) + 20 * results);
    }

    /// <summary>n passes, each over one element less. No more than the size of the dimension do anything.</summary>
    private static OpCost Diff(in OpArguments a)
    {
        double size = a[0] is Tensor { ndim: > 0 } ? SizeOf(a, a.Int(2)) : 0;
        double times = Math.Clamp(a.Int(1), 0, size), work = times >= size ? 0 : times * (1 - times / size / 2) * Count(a, 0);
        return new OpCost(times == 0 ? 0 : Bytes(a, 0), times > 1 ? Bytes(a, 0) : 0, 2 * work);
    }

    private static OpCost Covariance(in OpArguments a)
    {
        double rows = a[0] is Tensor { ndim: 2 } self ? self.shape[0] : 1, count = Count(a, 0);
        double factor = a[0] is Tensor tensor ? ProductFactor(tensor) : 1;
        return new OpCost(rows * rows * 8, 2 * count * 8 + 2 * rows * rows * 8, 6 * count + 4 * rows * rows, 2 * rows * count * factor);
    }

    private static OpCost Unique(in OpArguments a)
    {
        double count = Count(a, 0);
        if (!a.Has(4) || a[0] is not Tensor { ndim: > 0 })
            return new OpCost(Bytes(a, 0) + 16 * count, Bytes(a, 0) * 2 + 24 * count, 12 * count * Log2(count));
        double rows = SizeOf(a, a.Int(4));
        const double RowBytes = 512; // a tensor for each row
        return new OpCost(Bytes(a, 0) + 16 * rows, Bytes(a, 0) * 3 + rows * RowBytes, (4 * count + 500 * rows) * Log2(rows));
    }
}
