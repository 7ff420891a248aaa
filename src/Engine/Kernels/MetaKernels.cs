using Ndif.Protocol;
using Ndif.Protocol.Ops;
using TorchSharp;
using static TorchSharp.torch;
using Tensor = TorchSharp.torch.Tensor;

namespace Ndif.Engine.Kernels;

/// <summary>
/// Shape inference for operations without a rule in libtorch for tensors of the meta device (the rule is in PyTorch's Python code), or
/// whose lookup ends the process. Most use another operation with the same result shape. tests/Engine.Tests/Kernels/MetaKernelTests.cs
/// compares the scan of every operation with its run.
/// </summary>
internal static class MetaKernels
{
    private static readonly Dictionary<string, Kernel> _kernels = new()
    {
        // the shape and type of the argument
        ["abs"] = Like, ["relu"] = Like, ["relu6"] = Like, ["nan_to_num"] = Like, ["hardswish"] = Like, ["softsign"] = Like,
        ["logsigmoid"] = Like, ["group_norm"] = Like, ["matrix_exp"] = Like, ["abs_"] = Same, ["relu_"] = Same,
        ["flip"] = Like, ["roll"] = Like, ["poisson"] = Like,
        ["logit"] = (in a) => a.Tensor(0).sigmoid(),
        // bool results
        ["isnan"] = (in a) => BoolTensor(a.Tensor(0).shape), ["isinf"] = (in a) => BoolTensor(a.Tensor(0).shape),
        ["isfinite"] = (in a) => BoolTensor(a.Tensor(0).shape),
        ["signbit"] = (in a) => BoolTensor(a.Tensor(0).shape), ["isin"] = (in a) => BoolTensor(a.Tensor(0).shape),
        ["logical_not"] = (in a) => BoolTensor(a.Tensor(0).shape),
        ["logical_and"] = (in a) => BoolTensor(BroadcastShape(a)), ["logical_or"] = (in a) => BoolTensor(BroadcastShape(a)),
        ["logical_xor"] = (in a) => BoolTensor(BroadcastShape(a)),
        ["isclose"] = (in a) => BoolTensor(BroadcastShape(a)),
        // element by element
        ["floor_divide"] = (in a) => RunAs("remainder", a[0], a[1], a),
        ["floor_divide_"] = (in a) => RunAs("remainder_", a[0], a[1], a),
        ["xlogy"] = (in a) => RunAs("div", a[0], a[1], a),
        // products
        ["matmul"] = Matmul, ["dot"] = Matmul,
        ["inner"] = (in a) => Contracted(a, [-1], [-1]),
        ["tensordot"] = TensorDot,
        ["cdist"] = Cdist,
        ["kron"] = Kron,
        ["cross"] = (in a) => RunAs("add", a[0], a[1], a),
        ["trace"] = (in a) => a.Tensor(0).sum(),
        ["linalg_pinv"] = (in a) => a.Tensor(0).transpose(-2, -1).clone(),
        // reductions
        ["sum"] = (in a) => Reduced(a, 1, 2, SumDType(a, 3)), ["nansum"] = (in a) => Reduced(a, 1, 2, SumDType(a, 3)),
        ["mean"] = (in a) => Reduced(a, 1, 2, a.DType(3)), ["nanmean"] = (in a) => Reduced(a, 1, 2, a.DType(3)),
        ["var"] = (in a) => Reduced(a, 1, 3, null), ["std"] = (in a) => Reduced(a, 1, 3, null),
        ["norm"] = (in a) => Reduced(a, 2, 3, a.DType(4)), ["linalg_vector_norm"] = (in a) => Reduced(a, 2, 3, null),
        ["logsumexp"] = (in a) => Reduced(a, 1, 2, null),
        ["count_nonzero"] = (in a) => zeros(ShapeMath.Reduce(a.Tensor(0).shape, KernelTable.Dims(a, 1), false), ScalarType.Int64, META),
        ["prod"] = (in a) => ReducedAlong(a, 1, 2, SumDType(a, 3)),
        ["max"] = (in a) => a.Has(1) ? ValuesAndIndices(a, 1, 2) : a.Tensor(0).amax(), ["min"] = (in a) => a.Has(1)
        ? ValuesAndIndices(a, 1, 2) : a.Tensor(0).amax(),
        ["median"] = (in a) => a.Has(1) ? ValuesAndIndices(a, 1, 2) : a.Tensor(0).amax(),
        ["mode"] = (in a) => ValuesAndIndices(a, 1, 2), ["kthvalue"] = (in a) => ValuesAndIndices(a, 2, 3),
        ["quantile"] = Quantile, ["nanquantile"] = Quantile,
        ["cov"] = Covariance, ["corrcoef"] = Covariance,
        ["cummax"] = Cumulative, ["cummin"] = Cumulative,
        // losses
        ["l1_loss"] = (in a) => Loss(a, 2), ["smooth_l1_loss"] = (in a) => Loss(a, 2), ["huber_loss"] = (in a) => Loss(a, 2),
        ["binary_cross_entropy"] = (in a) => Loss(a, 3), ["binary_cross_entropy_with_logits"] = (in a) => Loss(a, 3),
        // positions
        ["searchsorted"] = (in a) => SearchResult(a[1] is Tensor values ? values.shape : [], a, 2),
        ["bucketize"] = (in a) => SearchResult(a.Tensor(0).shape, a, 2),
        ["take"] = (in a) => zeros(a.Tensor(1).shape, a.Tensor(0).dtype, META),
    };

    /// <summary>
    /// Finds the rule for a call with meta tensors, or with numbers in a scan. Returns null if the kernel itself infers the shape.
    /// </summary>
    public static Kernel? Find(OpSchema schema, object?[] bound, KernelContext context)
    {
        bool applies = Array.Exists(bound, v => v is Tensor tensor && KernelGuards.IsMeta(tensor))
            || (context.Device.type == DeviceType.META && schema.Parameters[0].Type == OpType.Tensor);
        return applies ? _kernels.GetValueOrDefault(schema.Name) : null;
    }

    private static Tensor Like(in OpArguments a) => a.Tensor(0).clone();

    private static Tensor Same(in OpArguments a) => a.Tensor(0);

    private static Tensor BoolTensor(long[] shape) => zeros(shape, ScalarType.Bool, META);

    private static object? RunAs(string op, object? left, object? right, in OpArguments a)
    {
        OpSchema schema = OpTable.Get(op);
        return KernelTable.Kernels[op](new OpArguments(schema, ArgumentBinder.Bind(schema, [left, right]), a.Context));
    }

    /// <summary>The broadcast shape of the first two arguments; a number has none.</summary>
    private static long[] BroadcastShape(in OpArguments a)
    {
        long[] x = a[0] is Tensor left ? left.shape : [], y = a[1] is Tensor right ? right.shape : [];
        return ShapeMath.Broadcast(x, y)
            ?? throw Errors.CreateException(ErrorCode.ShapeMismatch,
                $"{a.Schema.Name}: the shapes {Describe.Shape(x)} and {Describe.Shape(y)} do not broadcast");
    }

    /// <summary>The shape of a matrix product; a vector contributes no dimension.</summary>
    private static Tensor Matmul(in OpArguments a)
    {
        Tensor x = a.Tensor(0), y = a.Tensor(1);
        KernelGuards.Matmul(a.Schema.Name, x, y, a.Context);
        long[] left = x.shape, right = y.shape;
        long[] batch = ShapeMath.Broadcast(left.AsSpan(0, Math.Max(0, left.Length - 2)), right.AsSpan(0, Math.Max(0, right.Length - 2)))!;
        return zeros([.. batch, .. left.Length > 1 ? left[^2..^1] : [], .. right.Length > 1 ? right[^1..] : []], x.dtype, META);
    }

    private static Tensor Cdist(in OpArguments a)
    {
        Tensor x = a.Tensor(0), y = a.Tensor(1);
        if (x.ndim < 2 || y.ndim < 2 || x.shape[^1] != y.shape[^1]
            || ShapeMath.Broadcast(x.shape.AsSpan(..^2), y.shape.AsSpan(..^2)) is not { } batch)
            throw Errors.CreateException(ErrorCode.ShapeMismatch,
                $"cdist: {Describe.Shape(x)} and {Describe.Shape(y)} do not fit together");
        return zeros(KernelGuards.Size("cdist", [.. batch, x.shape[^2], y.shape[^2]], x.dtype, a.Context), x.dtype, META);
    }

    private static Tensor TensorDot(in OpArguments a)
    {
        (long[] left, long[] right) = KernelTable.ContractedAxes(a);
        return Contracted(a, left, right);
    }

    /// <summary>The remaining dimensions when the paired dimensions are contracted.</summary>
    private static Tensor Contracted(in OpArguments a, long[] left, long[] right)
    {
        Tensor x = a.Tensor(0), y = a.Tensor(1);
        if (x.ndim == 0 || y.ndim == 0) return x.mul(y);
        for (int i = 0; i < left.Length; i++)
        {
            (left[i], right[i]) =
                (KernelGuards.WrapDim(a.Schema.Name, left[i], x.ndim), KernelGuards.WrapDim(a.Schema.Name, right[i], y.ndim));
            if (x.shape[left[i]] != y.shape[right[i]])
                throw Errors.CreateException(ErrorCode.ShapeMismatch,
                    $"{a.Schema.Name}: the dimensions {left[i]} of {Describe.Shape(x)} and {right[i]} of {Describe.Shape(y)} differ");
        }
        return zeros([.. ShapeMath.Without(x.shape, left), .. ShapeMath.Without(y.shape, right)], x.dtype, META);
    }

    private static Tensor Kron(in OpArguments a)
    {
        Tensor x = a.Tensor(0), y = a.Tensor(1);
        var shape = new long[Math.Max(x.ndim, y.ndim)];
        for (int i = 1; i <= shape.Length; i++)
            shape[^i] = ShapeMath.SaturatingMultiply(i <= x.ndim ? x.shape[^i] : 1, i <= y.ndim ? y.shape[^i] : 1);
        return zeros(KernelGuards.Size("kron", shape, x.dtype, a.Context), result_type(x, y), META);
    }

    private static Tensor Reduced(in OpArguments a, int dim, int keepdim, ScalarType? type) =>
        zeros(ShapeMath.Reduce(a.Tensor(0).shape, KernelTable.Dims(a, dim), a.Bool(keepdim)), type ?? a.Tensor(0).dtype, META);

    /// <summary>Sums of integers and bools are int64.</summary>
    private static ScalarType SumDType(in OpArguments a, int dtype) =>
        a.DType(dtype) ?? (Numbers.IsInteger(a.Tensor(0)) || a.Tensor(0).dtype == ScalarType.Bool ? ScalarType.Int64 : a.Tensor(0).dtype);

    private static Tensor ReducedAlong(in OpArguments a, int dim, int keepdim, ScalarType type)
    {
        Tensor self = a.Tensor(0);
        long[]? dims = a.OptionalInt(dim) is { } given ? [KernelGuards.WrapDim(a.Schema.Name, given, self.ndim)] : null;
        return zeros(self.ndim == 0 ? [] : ShapeMath.Reduce(self.shape, dims, a.Bool(keepdim) && dims is not null), type, META);
    }

    /// <summary>Values and their indices along one dimension.</summary>
    private static object?[] ValuesAndIndices(in OpArguments a, int dim, int keepdim) =>
        [ReducedAlong(a, dim, keepdim, a.Tensor(0).dtype), ReducedAlong(a, dim, keepdim, ScalarType.Int64)];

    private static Tensor Quantile(in OpArguments a)
    {
        Tensor self = a.Tensor(0);
        long[] q = a[1] is Tensor several ? several.shape : [], dims = a.Has(2) ? KernelTable.Dims(a, 2) : [];
        return zeros([.. q, .. ShapeMath.Reduce(self.shape, dims, a.Bool(3))], self.dtype, META);
    }

    private static Tensor Covariance(in OpArguments a)
    {
        Tensor self = a.Tensor(0);
        if (self.ndim > 2)
            throw Errors.CreateException(ErrorCode.ShapeMismatch,
                $"{a.Schema.Name}: needs at most two dimensions, not {Describe.Shape(self)}");
        return zeros(self.ndim < 2 ? [] : KernelGuards.Size(a.Schema.Name, [self.shape[0], self.shape[0]], self.dtype, a.Context),
            self.dtype, META);
    }

    private static object?[] Cumulative(in OpArguments a)
    {
        Tensor self = a.Tensor(0);
        KernelGuards.WrapDim(a.Schema.Name, a.Int(1), self.ndim);
        return [zeros(self.shape, self.dtype, META), zeros(self.shape, ScalarType.Int64, META)];
    }

    private static Tensor SearchResult(long[] shape, in OpArguments a, int isInt32) =>
        zeros(shape, a.Bool(isInt32) ? ScalarType.Int32 : ScalarType.Int64, META);

    private static Tensor Loss(in OpArguments a, int reduction) =>
        zeros(a.Text(reduction) == "none" ? BroadcastShape(a) : [], a.Tensor(0).dtype, META);
}
