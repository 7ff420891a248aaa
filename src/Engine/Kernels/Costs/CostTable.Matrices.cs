using TorchSharp;
using static TorchSharp.torch;
using Tensor = TorchSharp.torch.Tensor;

namespace Ndif.Engine.Kernels.Costs;

/// <summary>
/// Products of matrices (2mnk), attention, distances of pairs of rows, and factorizations. The constants of the factorizations are those of
/// LAPACK's operation counts (Golub and Van Loan, Matrix Computations, 4th ed., sections 5 and 8), divided by the share of the speed of a
/// matrix product that LAPACK reaches: about a half for LU and Cholesky, a quarter for QR, a tenth for eigenvalues and singular values.
/// </summary>
internal static partial class CostTable
{
    private static IEnumerable<(string Names, CostEntry Entry)> MatrixRows() =>
    [
        Row("matmul mm bmm mv dot", SmallProduct, (in a) => Product(a, 0, 1), (in a) => RowSplit.Product(a, 0, 1)),
        Row("addmm addmv baddbmm", SmallProduct, (in a) => Product(a, 1, 2) is var product
            ? product with { WorkspaceBytes = product.WorkspaceBytes + 2 * product.OutputBytes + Bytes(a, 0) } : default),
        Row("linear", SmallProduct, Linear, RowSplit.Linear),
        Row("inner", SmallProduct, (in a) => a[0] is Tensor { ndim: > 0 } && a[1] is Tensor { ndim: > 0 } ? Contraction(a, [-1], [-1])
            : Contraction(a, [], [])),
        Row("tensordot", SmallProduct, TensorDot),
        Row("outer kron", SmallProduct, (in a) =>
            new OpCost(Count(a, 0) * Count(a, 1) * PromotedBytes(a), Bytes(a, 0) + Bytes(a, 1), 2 * Count(a, 0) * Count(a, 1))),
        Row("einsum", 0, EinsumCost),
        Row("cross", SmallProduct, Elementwise(6, workspace: 1)),
        Row("trace", SmallProduct, (in a) => new OpCost(ElementBytes(a, 0), 0, Count(a, 0))),
        Row("cdist", SmallMatrix, Distances, RowSplit.Distances),
        Row("scaled_dot_product_attention", SmallMatrix, AttentionCost, RowSplit.Attention),
        Row("matrix_exp", SmallMatrix, (in a) => Factorization(a, square: 40 + 2 * Squarings(a), copies: 16)),
        Row("linalg_matrix_power", SmallMatrix, (in a) => Factorization(a, square: 2 * 64 + 4, copies: 5)),
        Row("linalg_norm", SmallMatrix, (in a) => MatrixNorm(a, a.OptionalInts(2))),
        Row("linalg_matrix_norm", SmallMatrix, (in a) => MatrixNorm(a, a.Ints(2))),
        Row("linalg_svd", SmallSide, (in a) => Factorization(a, rectangular: 220, copies: 6, full: a.Bool(1) ? 2 : 0), RowSplit.Batches),
        Row("linalg_svdvals", SmallMatrix, (in a) => Factorization(a, rectangular: 40, copies: 3), RowSplit.Batches),
        Row("linalg_qr", SmallSide, (in a) => Factorization(a, rectangular: 16, copies: 4, full: a.Text(1) == "complete" ? 1 : 0),
            RowSplit.Batches),
        Row("linalg_eigh", SmallMatrix, (in a) => Factorization(a, square: 90, copies: 6), RowSplit.Batches),
        Row("linalg_eigvalsh", SmallMatrix, (in a) => Factorization(a, square: 15, copies: 3), RowSplit.Batches),
        Row("linalg_cholesky", SmallMatrix, (in a) => Factorization(a, square: 0.7, copies: 2), RowSplit.Batches),
        Row("linalg_inv", SmallMatrix, (in a) => Factorization(a, square: 4, copies: 4), RowSplit.Batches),
        Row("linalg_pinv", SmallMatrix, (in a) => AddPinvGradient(a, Factorization(a, rectangular: 222, copies: 8))),
        Row("linalg_solve", SmallMatrix, (in a) => Factorization(a, square: 1.4, copies: 3) is var cost ? cost with
        {
            WorkspaceBytes = cost.WorkspaceBytes + 4 * Bytes(a, 1), OutputBytes = cost.OutputBytes + Bytes(a, 1),
            Flops = cost.Flops + 4 * LastSide(a, 0) * Count(a, 1),
        } : default),
        Row("linalg_lstsq", SmallMatrix, (in a) => AddPinvGradient(a, LeastSquares(a))),
        Row("linalg_det linalg_slogdet", SmallMatrix, (in a) => Factorization(a, square: 1.4, copies: 3), RowSplit.Batches),
        Row("linalg_matrix_rank", SmallMatrix, (in a) => Factorization(a, rectangular: 42, copies: 4)),
    ];

    private static double LastSide(in OpArguments a, int position) => a[position] is Tensor { ndim: > 0 } tensor ? tensor.shape[^1] : 1;

    /// <summary>The product of two stacks of matrices, as at::matmul computes it.</summary>
    private static OpCost Product(in OpArguments a, int left, int right)
    {
        if (a[left] is not Tensor { ndim: > 0 } x || a[right] is not Tensor { ndim: > 0 } y) return default;
        long[] p = x.shape, q = y.shape;
        double inner = p[^1], columns = q.Length > 1 ? q[^1] : 1, rows = p.Length > 1 ? p[^2] : 1;
        long[] batch = ShapeMath.Broadcast(p.AsSpan(0, Math.Max(0, p.Length - 2)), q.AsSpan(0, Math.Max(0, q.Length - 2))) ?? [];
        double batches = Product(batch), bytes = x.element_size();
        double copies = CopyBytes(x) + CopyBytes(y);
        // batches that broadcast are expanded, which copies them
        if (batch.Length > 0 && q.Length > 2)
        {
            if (batches * rows * inner > x.numel()) copies += batches * rows * inner * bytes;
            if (batches * inner * columns > y.numel()) copies += batches * inner * columns * bytes;
        }
        return new OpCost(batches * rows * columns * bytes, copies, batches * (rows * inner + inner * columns + rows * columns),
            2 * batches * rows * columns * inner * ProductFactor(x));
    }

    private static OpCost Linear(in OpArguments a)
    {
        if (a[0] is not Tensor { ndim: > 0 } input || a[1] is not Tensor weight) return default;
        double features = weight.ndim == 2 ? weight.shape[0] : 1, inner = input.shape[^1];
        double results = CountWithout(a, 0, -1) * features;
        return new OpCost(results * input.element_size(), CopyBytes(input) + CopyBytes(weight), results,
            2 * results * inner * ProductFactor(input));
    }

    /// <summary>All pairs of rows of two tensors, contracted over some dimensions of each.</summary>
    private static OpCost Contraction(in OpArguments a, long[] left, long[] right)
    {
        if (a[0] is not Tensor x || a[1] is not Tensor) return default;
        double results = CountWithout(a, 0, left) * CountWithout(a, 1, right), inner = 1;
        foreach (long dim in left) inner *= x.shape[KernelGuards.WrapDim(a.Schema.Name, dim, x.ndim)];
        return new OpCost(results * x.element_size(), Bytes(a, 0) + Bytes(a, 1), results, 2 * results * inner * ProductFactor(x));
    }

    private static OpCost TensorDot(in OpArguments a)
    {
        if (a[0] is not Tensor x || a[1] is not Tensor y) return default;
        (long[] left, long[] right) = KernelTable.ContractedAxes(a);
        // where one of two contracted dimensions is 1, libtorch sums over the other first (tensordot in aten/src/ATen/native/Linear.cpp)
        long[] p = x.shape, q = y.shape;
        double sums = 0;
        for (int i = 0; i < left.Length; i++)
        {
            if (p[left[i]] == q[right[i]]) continue;
            if (p[left[i]] == 1)
            {
                q[right[i]] = 1;
                sums += Product(q);
            }
            else if (q[right[i]] == 1)
            {
                p[left[i]] = 1;
                sums += Product(p);
            }
        }
        OpCost cost = Contraction(a, left, right);
        return cost with
        {
            WorkspaceBytes = cost.WorkspaceBytes + sums * x.element_size(), Elements = cost.Elements + Count(a, 0) + Count(a, 1) + sums,
        };
    }

    private static OpCost EinsumCost(in OpArguments a)
    {
        Tensor[] tensors = a.Tensors(1);
        if (tensors.Length == 0) return default;
        (double largest, double operations) = Einsum.CostOf(a.Text(0), tensors);
        double bytes = tensors[0].element_size();
        return new OpCost(largest * bytes, (2 * largest + tensors.Sum(t => (double)t.numel())) * bytes, 2 * largest,
            2 * operations * ProductFactor(tensors[0]));
    }

    private static OpCost Distances(in OpArguments a)
    {
        if (a[0] is not Tensor { ndim: >= 2 } x || a[1] is not Tensor { ndim: >= 2 } y) return default;
        double batches = Product(ShapeMath.Broadcast(x.shape.AsSpan(..^2), y.shape.AsSpan(..^2)) ?? []);
        double rows = x.shape[^2], others = y.shape[^2], columns = x.shape[^1], results = batches * rows * others;
        double copies = 3 * batches * (rows + others) * (columns + 2) * x.element_size();
        // with p = 2 and many rows it is a product of matrices, else a loop over all pairs
        bool isProduct = a.Float(2) == 2 && (rows > 25 || others > 25);
        return new OpCost(results * x.element_size(), results * x.element_size() + copies,
            isProduct ? 4 * results : 4 * results * Math.Max(columns, 1) * (a.Float(2) is 0 or 1 or 2 ? 1 : 20),
            isProduct ? 2 * results * (columns + 2) * ProductFactor(x) : 0);
    }

    private static OpCost AttentionCost(in OpArguments a)
    {
        if (a[0] is not Tensor { ndim: >= 2 } query || a[1] is not Tensor { ndim: >= 2 } key || a[2] is not Tensor { ndim: >= 2 } value)
            return default;
        long[] batch = ShapeMath.Broadcast(query.shape.AsSpan(..^2), a.Bool(7) ? [] : key.shape.AsSpan(..^2)) ?? [];
        long[] shape = [.. batch, query.shape[^2], key.shape[^2]];
        double scores = Product(a[3] is Tensor mask ? ShapeMath.Broadcast(shape, mask.shape) ?? shape : shape);
        double bytes = query.element_size(), results = CountWithout(a, 0, -1) * value.shape[^1] * bytes;
        double repeated = a.Bool(7) && query.ndim >= 3 && key.ndim >= 3 && key.shape[^3] > 0
            ? (Bytes(a, 1) + Bytes(a, 2)) * query.shape[^3] / key.shape[^3] : 0;
        double copies = Bytes(a, 0) + DenseBytes(query) + repeated + DenseBytes(key) + DenseBytes(value);
        // only the fused kernel never has all scores in memory
        bool isFused = Attention.IsFused(query, key, value, a[3] as Tensor, a.Float(4), a.Bool(7));
        double width = Math.Max(bytes, 4);
        // the other scales queries and keys, and computes halves as floats (_scaled_dot_product_attention_math)
        if (!isFused)
        {
            double repeats = repeated > 0 ? (double)query.shape[^3] / key.shape[^3] : 1, keys = repeats * key.numel();
            double scaled = query.numel() + keys, floats = bytes < width ? scaled + repeats * value.numel() : 0;
            copies += scores * 4 * width + (scaled + floats) * width;
        }
        return new OpCost(results, copies, 10 * scores * TypeFactor(query) + results / bytes,
            2 * scores * (query.shape[^1] + value.shape[^1]) * Math.Min(ProductFactor(query), 4));
    }

    /// <summary>
    /// The right-hand sides are padded to the longer side of the matrix, which the solutions are a part of (gelsy of LAPACK).
    /// </summary>
    private static OpCost LeastSquares(in OpArguments a)
    {
        OpCost cost = Factorization(a, rectangular: 20, copies: 4);
        if (a[0] is not Tensor { ndim: >= 2 } self || a[1] is not Tensor { ndim: > 0 } others) return cost;
        double rows = self.shape[^2], columns = self.shape[^1], shorter = Math.Min(rows, columns);
        double systems = CountWithout(a, 1, others.ndim < self.ndim ? -1 : -2), padded = systems * Math.Max(rows, columns);
        return cost with
        {
            OutputBytes = cost.OutputBytes + padded * Math.Max(4, self.element_size()) + Bytes(a, 1),
            WorkspaceBytes = cost.WorkspaceBytes + 4 * Bytes(a, 1),
            Elements = cost.Elements + 4 * padded,
            Flops = cost.Flops + 4 * (rows + columns) * shorter * systems * Math.Min(ProductFactor(self), 8),
        };
    }

    /// <summary>
    /// How often matrix_exp squares at most. It divides a matrix by the power of two that makes its 1-norm about 1 (mexp_impl in
    /// aten/src/ATen/native/LinearAlgebra.cpp). The norm is at most the largest element times the number of rows.
    /// </summary>
    private static double Squarings(in OpArguments a)
    {
        const double Most = 1100; // the exponent of the largest norm of float64 is less
        if (a[0] is not Tensor { ndim: >= 2 } self || self.numel() == 0 || self.shape[^1] != self.shape[^2]) return 0;
        using var noGraph = no_grad();
        using var scope = NewDisposeScope();
        Tensor elements = self.is_complex() ? view_as_real(self) : self;
        for (int d = 0; d < elements.ndim; d++)
            if (elements.stride(d) == 0 && elements.shape[d] > 1) elements = elements.narrow(d, 0, 1); // expanded
        long[] dims = [.. Enumerable.Range(0, (int)elements.ndim).Select(d => (long)d)]; // all: without them libtorch may copy
        double largest = Math.Max(Math.Abs(elements.amax(dims).to(ScalarType.Float64).item<double>()),
            Math.Abs(elements.amin(dims).to(ScalarType.Float64).item<double>()));
        double squarings = Math.Ceiling(Math.Log2(largest * self.shape[^2])) + 1;
        return double.IsNaN(squarings) ? 0 : Math.Clamp(squarings, 0, Most);
    }

    /// <summary>Of the orders "nuc", 2 and -2 it is made of singular values, else of sums.</summary>
    /// <param name="dims">Those of the matrix; null if the argument is one.</param>
    private static OpCost MatrixNorm(in OpArguments a, long[]? dims)
    {
        object? order = a[1] is string name ? name : a.Has(1) ? a.Number(1) : null;
        bool isOfSingularValues = order is "nuc" or 2L or -2L or 2.0 or -2.0;
        if (isOfSingularValues && (dims ?? (a[0] is Tensor { ndim: 2 } ? [-2, -1] : null)) is [var row, var column])
            return Factorization(a, rectangular: 40, copies: 4, row: row, column: column);
        double results = dims is null ? 1 : CountWithout(a, 0, dims);
        return new OpCost(Math.Max(Bytes(a, 0), 8 * results), 2 * Bytes(a, 0), 8 * Math.Max(Count(a, 0), results));
    }

    /// <summary>
    /// The gradient of a pseudoinverse, and of least squares, which it computes, needs square matrices of the longer side.
    /// </summary>
    /// <remarks>pinv_backward in torch/csrc/autograd/FunctionsManual.cpp</remarks>
    private static OpCost AddPinvGradient(in OpArguments a, OpCost cost)
    {
        if (!BoundedOperation.IsRecorded(a) || a[0] is not Tensor { ndim: >= 2 } self) return cost;
        double longer = Math.Max(self.shape[^2], self.shape[^1]), elements = CountWithout(a, 0, -2, -1) * longer * longer;
        return cost with { WorkspaceBytes = cost.WorkspaceBytes + 2 * elements * self.element_size() };
    }

    /// <summary>
    /// A routine that takes <paramref name="square"/> · n³ or <paramref name="rectangular"/> · m n min(m, n) operations for each matrix.
    /// </summary>
    /// <param name="copies">The copies of the matrix that it needs, its results included.</param>
    /// <param name="full">The factors that are square with the longer side.</param>
    /// <param name="row">The dimension of the rows of each matrix.</param>
    /// <param name="column">The dimension of the columns.</param>
    private static OpCost Factorization(in OpArguments a, double square = 0, double rectangular = 0, double copies = 2, double full = 0,
        long row = -2, long column = -1)
    {
        if (a[0] is not Tensor { ndim: >= 2 } self) return default;
        double rows = SizeOf(a, row), columns = SizeOf(a, column), batches = CountWithout(a, 0, row, column);
        double longer = Math.Max(rows, columns), shorter = Math.Min(rows, columns), bytes = Math.Max(4, self.element_size());
        double operations = square > 0 ? square * longer * longer * longer : rectangular * longer * shorter * shorter;
        double factors = full * longer * longer;
        return new OpCost(batches * (2 * rows * columns + factors) * bytes,
            batches * (copies * (rows * columns + shorter * shorter) + factors) * bytes,
            20 * self.numel() + batches * factors, batches * (operations + 4 * factors * shorter) * Math.Min(ProductFactor(self), 8));
    }
}
