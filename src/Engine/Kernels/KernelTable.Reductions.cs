using Ndif.Models;
using Ndif.Protocol;
using TorchSharp;
using static TorchSharp.torch;
using Tensor = TorchSharp.torch.Tensor;

namespace Ndif.Engine.Kernels;

internal static partial class KernelTable
{
    private static Dictionary<string, Kernel> ReductionKernels() => new()
    {
        ["sum"] = (in a) => Sum(a.Tensor(0), Dims(a, 1), a.Bool(2), a.DType(3)),
        ["nansum"] =
        (in a) => Sum(a.Tensor(0).nan_to_num(0, double.PositiveInfinity, double.NegativeInfinity), Dims(a, 1), a.Bool(2), a.DType(3)),
        ["mean"] = (in a) => Dims(a, 1) is { Length: > 0 } dims ? a.Tensor(0).mean(dims, a.Bool(2), a.DType(3)) : Cast(a, 3).mean(),
        ["nanmean"] = (in a) => NanMean(a),
        ["var"] = (in a) => Variance(a),
        ["std"] = (in a) => Variance(a).sqrt(),
        ["norm"] = (in a) => linalg.vector_norm(Cast(a, 4), a.Float(1), Dims(a, 2), a.Bool(3)),
        ["prod"] = (in a) => a.OptionalInt(1) is { } dim ? a.Tensor(0).prod(dim, a.Bool(2), a.DType(3)) : a.Tensor(0).prod(a.DType(3)),
        ["amax"] = (in a) => a.Tensor(0).amax(Dims(a, 1), a.Bool(2)),
        ["amin"] = (in a) => a.Tensor(0).amin(Dims(a, 1), a.Bool(2)),
        ["max"] = (in a) => a.OptionalInt(1) is { } dim ? Tuple(a.Tensor(0).max(dim, a.Bool(2))) : a.Tensor(0).max(),
        ["min"] = (in a) => a.OptionalInt(1) is { } dim ? Tuple(a.Tensor(0).min(dim, a.Bool(2))) : a.Tensor(0).min(),
        ["argmax"] = (in a) => a.OptionalInt(1) is { } dim ? a.Tensor(0).argmax(dim, a.Bool(2)) : a.Tensor(0).argmax(),
        ["argmin"] = (in a) => a.OptionalInt(1) is { } dim ? a.Tensor(0).argmin(dim, a.Bool(2)) : a.Tensor(0).argmin(),
        ["median"] = (in a) => a.OptionalInt(1) is { } dim
        ? Tuple(Median(a.Tensor(0), KernelGuards.WrapDim("median", dim, a.Tensor(0).ndim), a.Bool(2))) : a.Tensor(0).median(),
        ["mode"] = (in a) => Tuple(a.Tensor(0).mode(a.Int(1), a.Bool(2))),
        ["kthvalue"] = (in a) =>
        Tuple(KthValue(a.Tensor(0), a.Int(1), KernelGuards.WrapDim("kthvalue", a.Int(2), a.Tensor(0).ndim), a.Bool(3))),
        ["quantile"] = (in a) => Quantile(a, (x, q, dim, keep) => x.quantile(q, dim, keep)),
        ["nanquantile"] = (in a) => Quantile(a, (x, q, dim, keep) => x.nanquantile(q, dim, keep)),
        ["all"] = (in a) => a.OptionalInt(1) is { } dim ? a.Tensor(0).all(dim, a.Bool(2)) : a.Tensor(0).all(),
        ["any"] = (in a) => a.OptionalInt(1) is { } dim ? a.Tensor(0).any(dim, a.Bool(2)) : a.Tensor(0).any(),
        ["count_nonzero"] = (in a) => a.Tensor(0).count_nonzero(Dims(a, 1)),
        ["logsumexp"] = (in a) => LogSumExp(a),
        ["cumsum"] = (in a) => a.Tensor(0).cumsum(a.Int(1), a.DType(2)),
        ["cumprod"] = (in a) => a.Tensor(0).cumprod(a.Int(1), a.DType(2)),
        ["cummax"] = (in a) => Tuple(CheckCumulative(a).cummax(a.Int(1))),
        ["cummin"] = (in a) => Tuple(CheckCumulative(a).cummin(a.Int(1))),
        ["diff"] = (in a) => Diff(a),
        ["dist"] = (in a) => linalg.vector_norm(a.Tensor(0).sub(a.TensorLike(1, a.Tensor(0))), a.Float(2)),
        ["cov"] = (in a) => CheckCovariance(a).cov(a.Int(1)),
        ["corrcoef"] = (in a) => CheckCovariance(a).corrcoef(),
    };

    /// <summary>The dimensions of a reduction, counted from the front and checked. None and an empty list mean all.</summary>
    internal static long[] Dims(in OpArguments a, int position)
    {
        long rank = a.Tensor(0).ndim;
        if (a.OptionalInts(position) is not { Length: > 0 } given)
        {
            var all = new long[rank];
            for (int i = 0; i < all.Length; i++) all[i] = i;
            return all;
        }
        if (rank == 0)
        {
            foreach (long dim in given) KernelGuards.WrapDim(a.Schema.Name, dim, 0);
            return [];
        }
        var dims = new long[given.Length];
        for (int i = 0; i < dims.Length; i++)
        {
            dims[i] = KernelGuards.WrapDim(a.Schema.Name, given[i], rank);
            if (Array.IndexOf(dims, dims[i]) < i)
                throw Errors.CreateException(ErrorCode.BadArgument,
                    $"{a.Schema.Name}(): dim {dims[i]} appears multiple times in the list of dims");
        }
        return dims;
    }

    private static Tensor Cast(in OpArguments a, int dtype) => a.DType(dtype) is { } type ? a.Tensor(0).to(type) : a.Tensor(0);

    private static Tensor Sum(Tensor self, long[] dims, bool keepdim, ScalarType? type) =>
        dims.Length == 0 ? self.sum(type) : self.sum(dims, keepdim, type);

    private static Tensor NanMean(in OpArguments a)
    {
        Tensor self = Cast(a, 3);
        Tensor sum = Sum(self.nan_to_num(0, double.PositiveInfinity, double.NegativeInfinity), Dims(a, 1), a.Bool(2), null);
        return sum.div(Sum(self.isnan().logical_not(), Dims(a, 1), a.Bool(2), ScalarType.Int64));
    }

    /// <summary>
    /// The variance. TorchSharp supports the corrections 0 and 1; for another one the variance with correction 0 is scaled.
    /// TorchSharp's var is not used: THSTensor_var_along_dimensions calls libtorch outside of its try/catch, and THSTensor_var ignores
    /// the correction.
    /// </summary>
    private static Tensor Variance(in OpArguments a)
    {
        Tensor self = a.Tensor(0);
        long[] dims = Dims(a, 1);
        if (self.ndim == 0) (self, dims) = (self.reshape(1), [0]);
        bool keepdim = a.Bool(3) && a.Tensor(0).ndim > 0;
        double correction = a.Float(2);
        if (correction is 0 or 1) return var_mean(self, dims, correction == 1, keepdim).Item1;
        double count = ShapeMath.ElementCount([.. dims.Select(d => self.shape[d])]);
        return var_mean(self, dims, false, keepdim).Item1.mul(count / Math.Max(count - correction, 0));
    }

    /// <summary>The median, which is the lower of two middle values as in PyTorch; NaN if any value is NaN.</summary>
    private static (Tensor Values, Tensor Indices) Median(Tensor self, long dim, bool keepdim)
    {
        long middle = self.ndim == 0 ? 1 : ((self.shape[dim] - 1) / 2) + 1;
        (Tensor values, Tensor indices) = KthValue(self, middle, dim, keepdim);
        if (!is_floating_point(self) || self.ndim == 0 || KernelGuards.IsMeta(self)) return (values, indices);
        Tensor nan = self.isnan();
        Tensor found = nan.any(dim, keepdim);
        return (values.masked_fill(found, double.NaN), where(found, nan.to(ScalarType.Int64).argmax(dim, keepdim), indices));
    }

    /// <summary>
    /// In rows that are longer than this, topk finds the k-th value: the quickselect of libtorch (quick_select_template in
    /// aten/src/ATen/native/Sorting.cpp) takes quadratic time for rows that are chosen for it, and topk the time of a sort
    /// (std::nth_element in aten/src/ATen/native/TopKImpl.h). For others both are about as fast, and shorter rows take less than a sort.
    /// </summary>
    internal const long LongRow = 256;

    /// <summary>The k-th smallest value of each row and its index, any index among equal values.</summary>
    private static (Tensor Values, Tensor Indices) KthValue(Tensor self, long k, long dim, bool keepdim)
    {
        long size = self.ndim == 0 ? 1 : self.shape[dim];
        // what libtorch rejects: a position out of range, and types
        if (size <= LongRow || k < 1 || k > size || self.dtype == ScalarType.Bool || KernelGuards.IsMeta(self))
            return self.kthvalue(k, dim, keepdim);
        Tensor indices = Positions();
        Tensor values = self.gather(dim, indices);
        return keepdim ? (values, indices) : (values.squeeze(dim), indices.squeeze(dim));

        Tensor Positions() // [..., 1, ...]
        {
            using var noGraph = no_grad();
            using var scope = NewDisposeScope();
            (Tensor smallest, Tensor positions) = self.topk(checked((int)k), (int)dim, largest: false, sorted: false);
            return positions.gather(dim, smallest.argmax(dim, keepdim: true)).MoveToOuterDisposeScope();
        }
    }

    private static Tensor Quantile(in OpArguments a, Func<Tensor, Tensor, long, bool, Tensor> quantile)
    {
        Tensor self = a.Tensor(0), q = a.TensorLike(1, self).to(self.dtype);
        if (q.ndim > 1)
            throw Errors.CreateException(ErrorCode.ShapeMismatch,
                $"{a.Schema.Name}(): q must be a number or a list of numbers, but its shape is {Describe.Shape(q)}.");
        if (!KernelGuards.IsMeta(q) && !q.ge(0).logical_and(q.le(1)).all().item<bool>())
            throw Errors.CreateException(ErrorCode.BadArgument, $"{a.Schema.Name}(): q must be between 0 and 1.");
        if (a.OptionalInt(2) is { } dim) return quantile(self, q, dim, a.Bool(3));
        Tensor all = quantile(self.flatten(), q, 0, false);
        return a.Bool(3) ? all.reshape([.. q.shape, .. Enumerable.Repeat(1L, (int)self.ndim)]) : all;
    }

    private static Tensor LogSumExp(in OpArguments a)
    {
        long[] dims = Dims(a, 1);
        Tensor result = a.Tensor(0);
        if (dims.Length == 0) return result.logsumexp(0);
        long[] shape = result.shape;
        // the longest first: libtorch makes several tensors of the size of each result
        foreach (long dim in dims.OrderByDescending(dim => shape[dim])) result = result.logsumexp(dim, keepdim: true);
        return a.Bool(2) ? result : Squeeze(result, dims);
    }

    /// <summary>Checks the arguments of cummax and cummin, whose native entry points have no try/catch.</summary>
    private static Tensor CheckCumulative(in OpArguments a)
    {
        Tensor self = a.Tensor(0);
        long dim = KernelGuards.WrapDim(a.Schema.Name, a.Int(1), self.ndim);
        if (is_complex(self.dtype) || self.dtype.ToData() is null)
            throw Errors.CreateException(ErrorCode.Unsupported, $"{a.Schema.Name}(): the elements of {Describe.Kind(self)} have no order.");
        if (self.ndim > 0 && self.shape[dim] == 0)
            throw Errors.CreateException(ErrorCode.ShapeMismatch,
                $"{a.Schema.Name}(): dimension {dim} of {Describe.Shape(self)} is empty.");
        return self;
    }

    private static Tensor Diff(in OpArguments a)
    {
        Tensor self = a.Tensor(0);
        if (self.ndim == 0) throw Errors.CreateException(ErrorCode.ShapeMismatch, "diff(): the tensor needs at least one dimension.");
        long dim = KernelGuards.WrapDim("diff", a.Int(2), self.ndim), times = a.Int(1);
        if (times < 0) throw Errors.CreateException(ErrorCode.BadArgument, $"diff(): n must not be negative, but is {times}.");
        long[] shape = self.shape;
        if (times >= shape[dim])
        {
            shape[dim] = 0; // every pass removes an element
            return self.new_empty(shape);
        }
        Tensor result = self.alias();
        for (long i = 0; i < times; i++)
        {
            a.Context.Limits?.BetweenParts();
            // a pass needs its predecessor alone, unless a graph keeps them all
            using var scope = NewDisposeScope();
            long length = shape[dim] - 1 - i;
            Tensor after = result.narrow(dim, 1, length), before = result.narrow(dim, 0, length);
            Tensor next = result.dtype == ScalarType.Bool ? after.logical_xor(before) : after.sub(before);
            result.Dispose();
            result = next.MoveToOuterDisposeScope();
        }
        return result;
    }

    private static Tensor CheckCovariance(in OpArguments a)
    {
        Tensor self = a.Tensor(0);
        long rows = self.ndim == 2 ? self.shape[0] : 1;
        KernelGuards.Size(a.Schema.Name, ShapeMath.SaturatingMultiply(rows, rows), self.element_size(), a.Context);
        return self;
    }
}
