using TorchSharp;
using static TorchSharp.torch;
using Tensor = TorchSharp.torch.Tensor;

namespace Ndif.Engine.Kernels.Costs;

/// <summary>Operations on each element, with broadcasting, and those that scale with their arguments.</summary>
internal static partial class CostTable
{
    private static IEnumerable<(string Names, CostEntry Entry)> ElementRows() =>
    [
        Row("add sub mul neg abs sign maximum minimum round floor ceil trunc frac clamp lerp addcmul addcdiv nan_to_num "
            + "relu relu6 leaky_relu threshold hardtanh hardsigmoid hardswish", SmallProduct, Elementwise(1), RowSplit.Broadcast),
        Row("square", SmallProduct, (in a) => a[0] is Tensor { dtype: ScalarType.Bool }
            ? new OpCost(sizeof(long) * Count(a, 0), sizeof(long) * Count(a, 0), 2 * Count(a, 0)) : Elementwise(1)(a), RowSplit.Broadcast),
        Row("div", SmallProduct, Division(work => Elementwise(work, workspace: 0.25, ofFloats: true)), RowSplit.Broadcast),
        Row("floor_divide remainder fmod", SmallProduct, Division(work => Elementwise(work, workspace: 0.25)), RowSplit.Broadcast),
        Row("sqrt rsqrt reciprocal exp exp2 expm1 log log2 log10 log1p sin cos tan erf sigmoid tanh gelu silu softplus elu selu",
            SmallProduct, Elementwise(6, ofFloats: true), RowSplit.Broadcast),
        Row("asin acos atan sinh cosh asinh acosh atanh atan2 hypot erfc erfinv lgamma digamma xlogy pow logaddexp", SmallProduct,
            Elementwise(25, ofFloats: true), RowSplit.Broadcast),
        Row("logit logsigmoid", SmallProduct, Elementwise(8, workspace: 1, ofFloats: true), RowSplit.Broadcast),
        Row("softsign", SmallProduct, Elementwise(6, workspace: 3, ofFloats: true), RowSplit.Broadcast),
        Row("mish", SmallProduct, Elementwise(20, workspace: 2), RowSplit.Broadcast),
        Row("where", SmallProduct, Elementwise(2, workspace: 0.5, firstOperand: 1), RowSplit.Broadcast),
        Row("masked_fill", SmallProduct, Elementwise(2, workspace: 0.5, firstOperand: 2), RowSplit.Broadcast),
        Row("eq ne lt le gt ge logical_and logical_or logical_xor logical_not isnan signbit", SmallProduct, Test(1),
            RowSplit.Broadcast),
        Row("isinf", SmallProduct, Test(2, temporaries: 1), RowSplit.Broadcast),
        Row("isfinite", SmallProduct, Test(3, temporaries: 2), RowSplit.Broadcast),
        Row("isclose", SmallProduct, Test(8, temporaries: 5), RowSplit.Broadcast),
        Row("bitwise_and bitwise_or bitwise_xor bitwise_not", SmallProduct, Elementwise(1), RowSplit.Broadcast),
        // a result that is one value
        Row("allclose", SmallProduct, Test(8, temporaries: 5), RowSplit.All),
        Row("equal", SmallProduct, (in a) => HasOneShape(a) ? Test(2)(a) : default, (in a) => HasOneShape(a) ? RowSplit.All(a) : null),
        Row("dist", SmallProduct, Elementwise(4)),
        Row("mse_loss l1_loss smooth_l1_loss huber_loss kl_div binary_cross_entropy binary_cross_entropy_with_logits", SmallProduct,
            Elementwise(12, workspace: 4)),
        Row("pairwise_distance", SmallProduct, (in a) => Distance(a, -1)),
        Row("cosine_similarity", SmallProduct, (in a) => Distance(a, a.Int(2))),
        // a result for each target, also where there are no classes
        Row("cross_entropy nll_loss", SmallProduct, (in a) => new OpCost(Math.Max(Bytes(a, 0), ElementBytes(a, 0) * Count(a, 1)),
            2 * Bytes(a, 0), 12 * Math.Max(Count(a, 0), Count(a, 1)))),
        Row("dropout", SmallProduct, Elementwise(8, workspace: 1)),
        // in place: no memory for a result
        Row("copy_ fill_ zero_ neg_ abs_ round_ relu_", SmallProduct, InPlace(1), RowSplit.InPlace),
        Row("add_ sub_ mul_ clamp_ addcmul_ addcdiv_ lerp_", SmallProduct, InPlace(1, converts: true), RowSplit.InPlace),
        Row("div_ floor_divide_ remainder_", SmallProduct, Division(work => InPlace(work, workspace: 0.25, converts: true)),
            RowSplit.InPlace),
        Row("exp_ log_ sqrt_ sigmoid_ tanh_", SmallProduct, InPlace(6), RowSplit.InPlace),
        Row("pow_", SmallProduct, InPlace(25, converts: true), RowSplit.InPlace),
        Row("masked_fill_", SmallProduct, InPlace(2, workspace: 1), RowSplit.InPlace),
        Row("tril_ triu_", SmallProduct, InPlace(2, workspace: 2)),
        Row("requires_grad_", long.MaxValue, _free),
        // rows that do not depend on each other
        Row("softmax log_softmax", SmallProduct, (in a) => Rows(a, 12, results: a.Has(2) ? 2 : 1, copies: 1),
            (in a) => RowSplit.Rows(a, [a.Int(1)])),
        Row("normalize", SmallProduct, (in a) => WithStatistics(a, Rows(a, 8, copies: 3), CountWithout(a, 0, a.Int(2))),
            (in a) => RowSplit.Rows(a, [a.Int(2)])),
        Row("layer_norm", SmallProduct, (in a) => WithStatistics(a, Rows(a, 8, copies: 1), LeadingCount(a, a.Ints(1).Length)),
            (in a) => RowSplit.Rows(a, RowSplit.LastDims(a, a.Ints(1).Length))),
        Row("rms_norm", SmallProduct, (in a) => WithStatistics(a, Rows(a, 8, copies: 4), LeadingCount(a, a.Ints(1).Length)),
            (in a) => RowSplit.Rows(a, RowSplit.LastDims(a, a.Ints(1).Length))),
        Row("group_norm", SmallProduct, GroupNorm, (in a) => RowSplit.Rows(a, RowSplit.AllBut(a, 0))),
        Row("glu", SmallProduct, (in a) => Rows(a, 8, copies: 1), (in a) => RowSplit.Rows(a, [a.Int(1)])),
        // draws: in the order of the elements
        Row("bernoulli", SmallProduct, (in a) => Rows(a, 4, copies: 1)),
        Row("poisson", SmallProduct, (in a) => Rows(a, 60, copies: 1)),
        Cancellable("normal_", SmallProduct, (in a) => new OpCost(0, 0, 20 * Count(a, 0))),
        Cancellable("uniform_", SmallProduct, (in a) => new OpCost(0, 0, 8 * Count(a, 0))),
        Row("bernoulli_", SmallProduct, (in a) => new OpCost(0, 0, 3 * Count(a, 0))),
        // types
        Row("to", SmallProduct, (in a) => new OpCost(Count(a, 0) * Width(a, a.DType(1)), 0, 2 * Count(a, 0)), RowSplit.First),
        Row("type_as", SmallProduct, (in a) => new OpCost(Count(a, 0) * ElementBytes(a, 1), 0, 2 * Count(a, 0))),
        Row("float int", SmallProduct, Cast(4), RowSplit.First),
        Row("double long", SmallProduct, Cast(8), RowSplit.First),
        Row("half bfloat16", SmallProduct, Cast(2), RowSplit.First),
        Row("bool", SmallProduct, Cast(1), RowSplit.First),
        Row("cpu contiguous clone", SmallProduct, (in a) => new OpCost(Bytes(a, 0), 0, Count(a, 0))),
        Row("tensor", SmallProduct,
            (in a) => a[0] is Tensor ? new OpCost(Count(a, 0) * Width(a, a.DType(1)), 0, 2 * Count(a, 0)) : default),
        Row("item tolist", long.MaxValue, _free), // tolist has a limit of its own
        Row("tril triu flip", SmallProduct, (in a) => Rows(a, 2, copies: 1)),
        Row("roll", SmallProduct, (in a) => Rows(a, 3, copies: 2)),
    ];

    /// <summary>
    /// One result for each element of the broadcast shape. <paramref name="work"/> is in additions for each element,
    /// <paramref name="workspace"/> in results.
    /// </summary>
    /// <param name="ofFloats">Whether integers are computed as float32.</param>
    /// <param name="firstOperand">The first argument that is converted to the common type; masks come before it.</param>
    private static CostRule Elementwise(double work, double workspace = 0, bool ofFloats = false, int firstOperand = 0) => (in a) =>
    {
        double count = BroadcastCount(a), bytes = count * PromotedBytes(a);
        return new OpCost(bytes, workspace * bytes + ConversionBytes(a, ofFloats, firstOperand), work * count * WidestFactor(a));
    };

    /// <summary>Two statistics for each channel, also of one without elements.</summary>
    private static OpCost GroupNorm(in OpArguments a)
    {
        const double Work = 8;
        OpCost all = Rows(a, Work, copies: 2);
        if (a[0] is not Tensor { ndim: >= 2 } self) return all;
        double channels = (double)self.shape[0] * self.shape[1];
        return all with
        {
            WorkspaceBytes = Math.Max(all.WorkspaceBytes, 2 * channels * sizeof(float)), Elements = Math.Max(all.Elements, Work * channels),
        };
    }

    /// <summary>One result for each row of the broadcast shape, whose elements are all computed before.</summary>
    private static OpCost Distance(in OpArguments a, long dim)
    {
        OpCost all = Elementwise(8, workspace: 3)(a);
        if (BroadcastShape(a) is not { Length: > 0 } shape) return all;
        double rows = Product(ShapeMath.Without(shape, KernelGuards.WrapDim(a.Schema.Name, dim, shape.Length)));
        double bytes = rows * PromotedBytes(a); // of the results, of the norms of the rows, and of their products
        return all with
        {
            OutputBytes = Math.Max(all.OutputBytes, bytes), WorkspaceBytes = Math.Max(all.WorkspaceBytes, 4 * bytes),
            Elements = Math.Max(all.Elements, 8 * rows),
        };
    }

    /// <summary>
    /// A division. A remainder of floats takes a step for a few bits of the difference of the exponents: of 1e38 and 1e-38 up to 10 times
    /// that of 7 and 3, of the same in float64 up to 25 times.
    /// </summary>
    /// <param name="rule">The rule for some work for each element.</param>
    private static CostRule Division(Func<double, CostRule> rule)
    {
        const double Work = 4, LongestWork = 25;
        CostRule quotient = rule(Work), remainder = rule(LongestWork);
        return (in a) => HasFloatRemainder(a) ? remainder(a) with { TypicalShare = Work / LongestWork } : quotient(a);
    }

    private static bool HasFloatRemainder(in OpArguments a)
    {
        if (a.Schema.IndexOf("rounding_mode") is var mode and >= 0 && a[mode] is not "floor") return false;
        for (int i = 0; i < a.Count; i++)
            if (a[i] is double || a[i] is Tensor tensor && IsReal(tensor)) return true;
        return false;
    }

    private static bool HasOneShape(in OpArguments a) => a.Tensor(0).shape.AsSpan().SequenceEqual(a.Tensor(1).shape);

    /// <summary>One bool for each element, and temporaries of the argument's type.</summary>
    private static CostRule Test(double work, double temporaries = 0) => (in a) =>
    {
        double count = BroadcastCount(a);
        return new OpCost(count, temporaries * count * PromotedBytes(a) + ConversionBytes(a, ofFloats: false),
            work * count * WidestFactor(a));
    };

    /// <summary>
    /// The copies of the arguments whose type is not the one that the operation computes in (ATen's TensorIterator, common_dtype). A
    /// copy of an expanded argument has all of its elements.
    /// </summary>
    private static double ConversionBytes(in OpArguments a, bool ofFloats, int first = 0)
    {
        ScalarType? type = null;
        bool differ = WidensBools(a);
        for (int i = first; i < a.Count; i++)
        {
            ofFloats |= a[i] is double || a[i] is Tensor operand && IsReal(operand);
            if (a[i] is not Tensor tensor) continue;
            differ |= type is { } other && other != tensor.dtype;
            type = tensor.dtype;
        }
        double width = PromotedBytes(a), bytes = 0;
        for (int i = first; i < a.Count; i++)
            if (a[i] is Tensor tensor && (differ && tensor.element_size() != width || ofFloats && !IsReal(tensor)))
                bytes += (double)tensor.numel() * width;
        return bytes;
    }

    private static bool IsReal(Tensor tensor) => tensor.is_floating_point() || tensor.is_complex();

    /// <param name="converts">Whether arguments of several types are converted to the common type, and the result from it.</param>
    private static CostRule InPlace(double work, double workspace = 0, bool converts = false) => (in a) =>
    {
        double count = Count(a, 0), conversions = converts ? ConversionBytes(a, ofFloats: false) : 0;
        if (conversions > 0) conversions += count * PromotedBytes(a);
        return new OpCost(0, workspace * Bytes(a, 0) + conversions, work * count * WidestFactor(a));
    };

    /// <summary>A result of the argument's shape.</summary>
    private static OpCost Rows(in OpArguments a, double work, double results = 1, double copies = 0)
    {
        double bytes = Count(a, 0) * Math.Max(ElementBytes(a, 0), 4);
        return new OpCost(results * bytes, copies * bytes, work * Count(a, 0) * WidestFactor(a));
    }

    /// <summary>The cost with two temporaries for each row, which there are for rows without elements too.</summary>
    private static OpCost WithStatistics(in OpArguments a, OpCost cost, double rows) => cost with
    {
        WorkspaceBytes = cost.WorkspaceBytes + 2 * rows * Math.Max(ElementBytes(a, 0), 4), Elements = Math.Max(cost.Elements, 2 * rows),
    };

    /// <summary>The product of the dimensions of the first argument but the last ones.</summary>
    private static double LeadingCount(in OpArguments a, int last) =>
        a[0] is Tensor self && self.ndim >= last ? Product(self.shape.AsSpan(..^last)) : 1;

    private static CostRule Cast(double width) => (in a) => new OpCost(Count(a, 0) * width, 0, 2 * Count(a, 0));

    private static double Width(in OpArguments a, ScalarType? type) =>
        type is { } given ? KernelGuards.ElementSize(given) : ElementBytes(a, 0);

    private static double WidestFactor(in OpArguments a)
    {
        double factor = 1;
        for (int i = 0; i < a.Count; i++)
            if (a[i] is Tensor tensor) factor = Math.Max(factor, TypeFactor(tensor));
        return factor;
    }
}
