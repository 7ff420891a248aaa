using TorchSharp;
using static TorchSharp.torch;
using Tensor = TorchSharp.torch.Tensor;

namespace Ndif.Engine.Kernels.Costs;

/// <summary>
/// How a call is computed in parts, between which it can be cancelled: blocks of rows that do not depend on each other, so that each
/// element of the result has the bits that it has in one call.
/// </summary>
/// <param name="Length">The rows.</param>
/// <param name="ArgumentDims">For each argument the dimension of the rows, or -1 if every part takes it whole.</param>
/// <param name="OutputDim">The dimension of the rows in each result.</param>
internal sealed record RowSplit(long Length, int[] ArgumentDims, int OutputDim)
{
    /// <summary>A part has a multiple of this number of rows, because products of few rows add in another order.</summary>
    public long Alignment { get; init; } = 1;

    /// <summary>Whether the parts change the first argument.</summary>
    public bool IsInPlace { get; init; }

    /// <summary>
    /// Whether the operation combines the rows, and its result is that of the same operation on the results of the parts, which have the
    /// rows as their first dimension; or it is a bool, which is true if those of all parts are.
    /// </summary>
    public bool IsCombined { get; init; }

    /// <summary>The rows of products, whose blocks have to be large.</summary>
    private const int ProductRows = 512;

    /// <summary>The same of products that are computed element by element, whose rows do not depend on each other.</summary>
    private const int SlowProductRows = 1;

    /// <summary>Element by element, with broadcasting.</summary>
    public static RowSplit? Broadcast(in OpArguments a) =>
        HasLists(a) || CostTable.BroadcastShape(a) is not { } shape ? null : Along(a, shape, PickDim(shape, []));

    /// <summary>Whether a test holds for all elements: if it does for those of each part.</summary>
    public static RowSplit? All(in OpArguments a) => Broadcast(a) is { } split ? split with { IsCombined = true } : null;

    /// <summary>The same in place. A tensor that is expanded cannot be changed, which the kernel reports.</summary>
    public static RowSplit? InPlace(in OpArguments a)
    {
        if (HasLists(a) || a[0] is not Tensor self) return null;
        long[] shape = self.shape, stride = self.stride();
        for (int d = 0; d < shape.Length; d++)
            if (stride[d] == 0 && shape[d] > 1) return null;
        return CostTable.BroadcastShape(a) is { } all && all.AsSpan().SequenceEqual(shape)
            && Along(a, shape, PickDim(shape, [])) is { } split
            ? split with { IsInPlace = true } : null;
    }

    /// <summary>Along any dimension of the first argument.</summary>
    public static RowSplit? First(in OpArguments a) => Rows(a, []);

    /// <summary>Along a dimension of the first argument that the operation does not combine. The result has all dimensions.</summary>
    /// <param name="combined">The dimensions that it combines, which may be counted from the back.</param>
    public static RowSplit? Rows(in OpArguments a, long[] combined) => OfFirst(a, combined, removes: false);

    /// <summary>The same for a result without the combined dimensions, unless the flag at <paramref name="keepdim"/> is set.</summary>
    public static RowSplit? Reduce(in OpArguments a, long[] combined, int keepdim) => OfFirst(a, combined, removes: !a.Bool(keepdim));

    /// <summary>The same for a largest or smallest element: of all rows together, it is that of those of the parts.</summary>
    public static RowSplit? Extremes(in OpArguments a, long[] combined, int keepdim)
    {
        if (Reduce(a, combined, keepdim) is { } split) return split;
        if (a[0] is not Tensor { ndim: > 0 } self || self.shape.Max() is not (> 1 and var rows)) return null;
        return new RowSplit(rows, With(a, 0, Array.IndexOf(self.shape, rows)), 0) { IsCombined = true };
    }

    public static RowSplit? ReduceAlong(in OpArguments a, int dim, int keepdim) => a.Has(dim) ? Reduce(a, [a.Int(dim)], keepdim) : null;

    public static long[] LastDims(in OpArguments a, int count) => [.. Enumerable.Range(1, count).Select(i => (long)-i)];

    public static long[] AllBut(in OpArguments a, int dim) =>
        [.. Enumerable.Range(0, (int)a.Tensor(0).ndim).Where(d => d != dim).Select(d => (long)d)];

    /// <summary>The matrices of a stack.</summary>
    public static RowSplit? Batches(in OpArguments a) => a[0] is Tensor { ndim: > 2 } ? Rows(a, [-1, -2]) : null;

    /// <summary>The matrices of a stack, or the rows of the left matrix.</summary>
    public static RowSplit? Product(in OpArguments a, int left, int right)
    {
        if (a[left] is not Tensor { ndim: >= 2 } x || a[right] is not Tensor { ndim: >= 2 } y) return null;
        long[] p = x.shape, q = y.shape;
        int rows = RowsOf(x);
        if (q.Length <= 2) return RowsOfProduct(a, x, left);
        long[] batch = ShapeMath.Broadcast(p.AsSpan(..^2), q.AsSpan(..^2)) ?? [];
        int among = PickDim(batch, []);
        if (a.Schema.Name == "bmm" && p[0] != q[0]) return null; // an error, and no broadcast
        if (among >= 0)
        {
            int[] dims = NoDims(a);
            dims[left] = DimOf(p, among - batch.Length + p.Length - 2);
            dims[right] = DimOf(q, among - batch.Length + q.Length - 2);
            return new RowSplit(batch[among], dims, among);
        }
        return p[^2] > rows ? new RowSplit(p[^2], With(a, left, p.Length - 2), Math.Max(p.Length, q.Length) - 2)
            { Alignment = rows } : null;
    }

    public static RowSplit? Linear(in OpArguments a) => a[0] is Tensor { ndim: >= 2 } input && a[1] is Tensor { ndim: 2 }
        ? RowsOfProduct(a, input, 0) : null;

    public static RowSplit? Distances(in OpArguments a)
    {
        if (a[0] is not Tensor { ndim: >= 2 } x || a[1] is not Tensor { ndim: >= 2 } y || x.shape[^2] <= ProductRows) return null;
        return new RowSplit(x.shape[^2], With(a, 0, (int)x.ndim - 2), (int)Math.Max(x.ndim, y.ndim) - 2) { Alignment = ProductRows };
    }

    /// <summary>The batch, the heads, or blocks of queries.</summary>
    public static RowSplit? Attention(in OpArguments a)
    {
        if (a[0] is not Tensor { ndim: >= 3 } query || a[1] is not Tensor key || a[2] is not Tensor value) return null;
        if (a.Float(4) != 0 || key.ndim != query.ndim || value.ndim != query.ndim) return null;
        long[] q = query.shape, k = key.shape, v = value.shape;
        var mask = a[3] as Tensor;
        int rank = q.Length, among = a.Bool(7) ? (q[0] > 1 ? 0 : -1) : PickDim(q[..^2], []);
        if (among >= 0 && k[among] == q[among] && v[among] == q[among])
        {
            int[] dims = NoDims(a);
            (dims[0], dims[1], dims[2]) = (among, among, among);
            if (mask is not null) dims[3] = DimOf(mask.shape, among - rank + (int)mask.ndim);
            return new RowSplit(q[among], dims, among);
        }
        const int QueryRows = 768; // from here on libtorch's kernel has blocks of 256 queries
        // a causal block would need a mask, with which the kernel rounds in another way
        if (q[^2] <= QueryRows || a.Bool(5)) return null;
        int[] rows = With(a, 0, rank - 2);
        if (mask is { ndim: >= 2 }) rows[3] = DimOf(mask.shape, (int)mask.ndim - 2);
        return new RowSplit(q[^2], rows, rank - 2) { Alignment = QueryRows };
    }

    private static RowSplit? OfFirst(in OpArguments a, long[] combined, bool removes)
    {
        if (a[0] is not Tensor { ndim: > 0 } self) return null;
        long[] shape = self.shape, dims = [.. combined.Select(d => KernelGuards.WrapDim("", d, shape.Length))];
        int dim = PickDim(shape, dims);
        if (dim < 0) return null;
        int output = removes ? dim - dims.Distinct().Count(d => d < dim) : dim;
        return new RowSplit(shape[dim], With(a, 0, dim), output);
    }

    private static RowSplit? Along(in OpArguments a, long[] shape, int dim)
    {
        if (dim < 0) return null;
        int[] dims = NoDims(a);
        for (int i = 0; i < dims.Length; i++)
            if (a[i] is Tensor tensor) dims[i] = DimOf(tensor.shape, dim - shape.Length + (int)tensor.ndim);
        return new RowSplit(shape[dim], dims, dim);
    }

    /// <summary>Blocks of enough rows of a left operand [..., rows, inner].</summary>
    private static int RowsOf(Tensor matrix) => CostTable.ProductFactor(matrix) >= CostTable.SlowProduct ? SlowProductRows : ProductRows;

    private static RowSplit? RowsOfProduct(in OpArguments a, Tensor matrix, int position)
    {
        long[] shape = matrix.shape;
        int dim = PickDim(shape[..^1], []);
        if (dim < 0) return null;
        double rowsOfIndex = 1;
        for (int d = 0; d < shape.Length - 1; d++)
            if (d != dim) rowsOfIndex *= shape[d];
        long alignment = (long)Math.Ceiling(RowsOf(matrix) / Math.Max(1, rowsOfIndex));
        return shape[dim] <= alignment ? null : new RowSplit(shape[dim], With(a, position, dim), dim) { Alignment = alignment };
    }

    /// <summary>A dimension if the tensor has it and it is not broadcast, else -1.</summary>
    private static int DimOf(long[] shape, int dim) => dim >= 0 && shape[dim] != 1 ? dim : -1;

    private static int[] NoDims(in OpArguments a)
    {
        var dims = new int[a.Count];
        Array.Fill(dims, -1);
        return dims;
    }

    private static int[] With(in OpArguments a, int position, int dim)
    {
        int[] dims = NoDims(a);
        dims[position] = dim;
        return dims;
    }

    /// <summary>The outermost of the dimensions with enough rows, or the largest; -1 if none has more than one.</summary>
    private static int PickDim(long[] shape, long[] except)
    {
        const long EnoughRows = 64;
        int largest = -1;
        for (int d = 0; d < shape.Length; d++)
        {
            if (Array.IndexOf(except, d) >= 0 || shape[d] <= 1) continue;
            if (shape[d] >= EnoughRows) return d;
            if (largest < 0 || shape[d] > shape[largest]) largest = d;
        }
        return largest;
    }

    private static bool HasLists(in OpArguments a)
    {
        for (int i = 0; i < a.Count; i++)
            if (a.IsList(i)) return true;
        return false;
    }
}
