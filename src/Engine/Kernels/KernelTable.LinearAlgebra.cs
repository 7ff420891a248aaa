using Ndif.Protocol;
using TorchSharp;
using static TorchSharp.torch;
using Tensor = TorchSharp.torch.Tensor;

namespace Ndif.Engine.Kernels;

internal static partial class KernelTable
{
    private static Dictionary<string, Kernel> LinearAlgebraKernels() => new()
    {
        ["matmul"] = (in a) => MatrixProduct.Compute(MatmulOperands(a, 0, 1, null).Left, a.Tensor(1)),
        ["mm"] = (in a) => MatmulOperands(a, 0, 1, (2, 2)).Left.mm(a.Tensor(1)),
        ["bmm"] = (in a) => MatmulOperands(a, 0, 1, (3, 3)).Left.bmm(a.Tensor(1)),
        ["mv"] = (in a) => MatmulOperands(a, 0, 1, (2, 1)).Left.mv(a.Tensor(1)),
        ["dot"] = (in a) => MatmulOperands(a, 0, 1, (1, 1)).Left.dot(a.Tensor(1)),
        ["inner"] = (in a) => Inner(a),
        ["outer"] = (in a) => CheckOuterProduct(a).outer(a.Tensor(1)),
        ["kron"] = (in a) => CheckOuterProduct(a).kron(a.Tensor(1)),
        ["cross"] = (in a) => linalg.cross(a.Tensor(0), a.Tensor(1), a.Int(2)),
        ["einsum"] = (in a) => Einsum.Compute(a.Text(0), a.Tensors(1), a.Context),
        ["tensordot"] = (in a) => TensorDot(a),
        ["addmm"] = (in a) => AddMatmul(a, (2, 2), (x, y) => x.mm(y)),
        ["addmv"] = (in a) => AddMatmul(a, (2, 1), (x, y) => x.mv(y)),
        ["baddbmm"] = (in a) => AddMatmul(a, (3, 3), (x, y) => x.bmm(y)),
        ["trace"] = (in a) => a.Tensor(0).trace(),
        ["matrix_exp"] = (in a) => matrix_exp(a.Tensor(0)),
        ["cdist"] = (in a) => Cdist(a),
        ["linalg_norm"] = (in a) => LinalgNorm(a),
        ["linalg_vector_norm"] = (in a) => linalg.vector_norm(a.Tensor(0), a.Float(1), Dims(a, 2), a.Bool(3)),
        ["linalg_matrix_norm"] = (in a) => a[1] is string name ? linalg.matrix_norm(a.Tensor(0), name, a.Ints(2), a.Bool(3))
        : linalg.matrix_norm(a.Tensor(0), a.Float(1), a.Ints(2), a.Bool(3)),
        ["linalg_svd"] = (in a) => Svd(a),
        ["linalg_svdvals"] = (in a) => linalg.svdvals(CheckFinite(a)),
        ["linalg_qr"] =
        (in a) =>
        Tuple(linalg.qr(CheckFullFactors(a, a.Text(1) == "complete"),
            a.Choice(1, ("reduced", linalg.QRMode.Reduced), ("complete", linalg.QRMode.Complete), ("r", linalg.QRMode.R)))),
        ["linalg_eigh"] = (in a) => Tuple(linalg.eigh(CheckFinite(a), a.Choice(1, ("L", 'L'), ("U", 'U')))),
        ["linalg_eigvalsh"] = (in a) => linalg.eigvalsh(CheckFinite(a), a.Choice(1, ("L", 'L'), ("U", 'U'))),
        ["linalg_cholesky"] = (in a) => linalg.cholesky(a.Tensor(0)),
        ["linalg_inv"] = (in a) => linalg.inv(a.Tensor(0)),
        ["linalg_pinv"] = (in a) => linalg.pinv(CheckFinite(a), a.OptionalFloat(1), a.OptionalFloat(2), a.Bool(3)),
        ["linalg_solve"] = (in a) => linalg.solve(a.Tensor(0), a.Tensor(1)),
        ["linalg_lstsq"] = (in a) => Lstsq(a),
        ["linalg_det"] = (in a) => linalg.det(a.Tensor(0)),
        ["linalg_slogdet"] = (in a) => Tuple(linalg.slogdet(a.Tensor(0))),
        ["linalg_matrix_rank"] = (in a) => linalg.matrix_rank(CheckFinite(a), a.OptionalFloat(1), a.OptionalFloat(2), a.Bool(3)),
        ["linalg_matrix_power"] = (in a) => a.Tensor(0).matrix_power(a.Int32(1)),
    };

    /// <summary>Two tensors that can be multiplied; with <paramref name="ranks"/>, of exactly these numbers of dimensions.</summary>
    private static (Tensor Left, Tensor Right) MatmulOperands(in OpArguments a, int left, int right, (int Left, int Right)? ranks)
    {
        Tensor x = a.Tensor(left), y = a.Tensor(right);
        if (ranks is var (first, second) && (x.ndim != first || y.ndim != second))
            throw Errors.CreateException(ErrorCode.ShapeMismatch,
                $"{a.Schema.Name}: the arguments must have {first} and {second} dimensions, but they are {Describe.Shape(x)} and "
                + $"{Describe.Shape(y)}", "`matmul` takes any.");
        if (ranks is (3, 3) && x.shape[0] != y.shape[0])
            throw Errors.CreateException(ErrorCode.ShapeMismatch,
                $"{a.Schema.Name}: {Describe.Shape(x)} and {Describe.Shape(y)} are not equally many matrices");
        KernelGuards.Matmul(a.Schema.Name, x, y, a.Context);
        return (x, y);
    }

    private static Tensor AddMatmul(in OpArguments a, (int Left, int Right) ranks, Func<Tensor, Tensor, Tensor> multiply)
    {
        (Tensor x, Tensor y) = MatmulOperands(a, 1, 2, ranks);
        Tensor self = a.Tensor(0);
        long[] shape = [.. x.shape[..^1], .. ranks.Right == 1 ? [] : y.shape[^1..]];
        if (ShapeMath.Broadcast(self.shape, shape)?.AsSpan().SequenceEqual(shape) != true)
            throw Errors.CreateException(ErrorCode.ShapeMismatch,
                $"{a.Schema.Name}: {Describe.Shape(self)} does not broadcast to the shape of the product, {Describe.Shape(shape)}");
        if (a[3] is not 1L) self = self.mul(a.Scalar(3));
        return self.add(multiply(x, y), a.Scalar(4));
    }

    private static Tensor Inner(in OpArguments a)
    {
        Tensor x = a.Tensor(0), y = a.Tensor(1);
        KernelGuards.SameTypeAndDevice("inner", x, y);
        if (x.ndim > 0 && y.ndim > 0)
        {
            if (x.shape[^1] != y.shape[^1])
                throw Errors.CreateException(ErrorCode.ShapeMismatch,
                    $"inner: the last dimensions of {Describe.Shape(x)} and {Describe.Shape(y)} differ");
            KernelGuards.Size("inner", ShapeMath.ElementCount([.. x.shape[..^1], .. y.shape[..^1]]), x.element_size(), a.Context);
        }
        return inner(x, y);
    }

    /// <summary>Checks the size of an outer product and returns its first operand.</summary>
    private static Tensor CheckOuterProduct(in OpArguments a)
    {
        Tensor x = a.Tensor(0), y = a.Tensor(1);
        KernelGuards.Size(a.Schema.Name, ShapeMath.SaturatingMultiply(x.numel(), y.numel()), Math.Max(x.element_size(), y.element_size()),
            a.Context);
        return x;
    }

    private static Tensor TensorDot(in OpArguments a)
    {
        Tensor x = a.Tensor(0), y = a.Tensor(1);
        KernelGuards.SameTypeAndDevice("tensordot", x, y);
        (long[] left, long[] right) = ContractedAxes(a);
        KernelGuards.Size("tensordot", ShapeMath.ElementCount([.. ShapeMath.Without(x.shape, left), .. ShapeMath.Without(y.shape, right)]),
            x.element_size(), a.Context);
        return x.tensordot(y, left, right);
    }

    /// <summary>
    /// The dimensions that tensordot contracts, counted from the front: the last and first <c>dims</c>, or two lists.
    /// </summary>
    internal static (long[] Left, long[] Right) ContractedAxes(in OpArguments a)
    {
        Tensor x = a.Tensor(0), y = a.Tensor(1);
        if (a[2] is IReadOnlyList<object?> pair)
        {
            if (pair.Count != 2) throw Axes();
            long[] left = AxesOf(pair[0]), right = AxesOf(pair[1]);
            return left.Length == right.Length ? (Wrap(left, x), Wrap(right, y))
                : throw Errors.CreateException(ErrorCode.BadArgument,
                    $"tensordot(): {left.Length} and {right.Length} dimensions do not pair up");
        }
        long count = a.Number(2) is long number ? number : throw Axes();
        if (count < 0 || count > Math.Min(x.ndim, y.ndim))
            throw Errors.CreateException(ErrorCode.BadArgument,
                $"tensordot(): {count} dimensions of {Describe.Shape(x)} and {Describe.Shape(y)} cannot be contracted");
        return ([.. Enumerable.Range((int)(x.ndim - count), (int)count).Select(i => (long)i)],
            [.. Enumerable.Range(0, (int)count).Select(i => (long)i)]);

        static Exception Axes() => Errors.CreateException(ErrorCode.BadArgument, "tensordot(): dims must be an int or two lists of ints.");

        static long[] AxesOf(object? value) => value is IReadOnlyList<object?> axes
            ? [.. axes.Select(axis => axis is long index ? index : throw Axes())]
            : [value is long one ? one : throw Axes()];

        static long[] Wrap(long[] axes, Tensor tensor) => [.. axes.Select(axis => KernelGuards.WrapDim("tensordot", axis, tensor.ndim))];
    }

    private static Tensor Cdist(in OpArguments a)
    {
        Tensor x = a.Tensor(0), y = a.Tensor(1);
        if (x.ndim < 2 || y.ndim < 2)
            throw Errors.CreateException(ErrorCode.ShapeMismatch,
                $"cdist: the arguments need at least 2 dimensions, but they are {Describe.Shape(x)} and {Describe.Shape(y)}");
        if (ShapeMath.Broadcast(x.shape.AsSpan(..^2), y.shape.AsSpan(..^2)) is { } batch) // else libtorch reports it
            KernelGuards.Size("cdist", ShapeMath.ElementCount([.. batch, x.shape[^2], y.shape[^2]]), x.element_size(), a.Context);
        return cdist(x, y, a.Float(2));
    }

    private static Tensor LinalgNorm(in OpArguments a)
    {
        long[]? dims = a.OptionalInts(2);
        return a[1] switch
        {
            null => linalg.vector_norm(a.Tensor(0), 2, Dims(a, 2), a.Bool(3)),
            string name => linalg.norm(a.Tensor(0), name, dims, a.Bool(3)),
            _ => linalg.norm(a.Tensor(0), a.Float(1), dims, a.Bool(3)),
        };
    }

    /// <summary>Checks that a matrix is finite, because LAPACK's iterations may fail or not terminate otherwise.</summary>
    private static Tensor CheckFinite(in OpArguments a)
    {
        Tensor self = a.Tensor(0);
        if (!KernelGuards.IsMeta(self) && is_floating_point(self) && !self.isfinite().all().item<bool>())
            throw Errors.CreateException(ErrorCode.OpFailed,
                $"{a.Schema.Name}: the matrix {Describe.Shape(self)} contains infinities or not-a-numbers");
        return self;
    }

    /// <summary>Checks the size of the factors of a full decomposition, which are square with the longer side.</summary>
    private static Tensor CheckFullFactors(in OpArguments a, bool full)
    {
        Tensor self = CheckFinite(a);
        if (!full || self.ndim < 2) return self;
        long side = Math.Max(self.shape[^1], self.shape[^2]);
        KernelGuards.Size(a.Schema.Name,
            ShapeMath.SaturatingMultiply(ShapeMath.ElementCount(self.shape.AsSpan(0, (int)self.ndim - 2)),
                ShapeMath.SaturatingMultiply(side, side)), self.element_size(), a.Context);
        return self;
    }

    private static object?[] Svd(in OpArguments a)
    {
        (Tensor u, Tensor s, Tensor vh) = linalg.svd(CheckFullFactors(a, a.Bool(1)), a.Bool(1));
        return Tuple(u, s, vh);
    }

    private static object?[] Lstsq(in OpArguments a)
    {
        (Tensor solution, Tensor residuals, Tensor rank, Tensor values) = linalg.lstsq(CheckFinite(a), a.Tensor(1));
        return Tuple(solution, residuals, rank, values);
    }
}
