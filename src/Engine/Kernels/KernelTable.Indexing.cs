using Ndif.Protocol;
using TorchSharp;
using static TorchSharp.torch;
using Tensor = TorchSharp.torch.Tensor;

namespace Ndif.Engine.Kernels;

internal static partial class KernelTable
{
    private static Dictionary<string, Kernel> IndexingKernels() => new()
    {
        ["getitem"] = (in a) => Indexing.Get(a),
        ["index_select"] = (in a) => IndexSelect(a.Tensor(0), a.Int(1), a.Tensor(2), a.Context),
        ["gather"] = (in a) => a.Tensor(0).gather(a.Int(1), a.Tensor(2)),
        ["take"] = (in a) => a.Tensor(0).take(a.Tensor(1)),
        ["take_along_dim"] = (in a) => a.OptionalInt(2) is { } dim ? a.Tensor(0).take_along_dim(a.Tensor(1), dim)
        : a.Tensor(0).flatten().take_along_dim(a.Tensor(1).flatten(), 0),
        ["masked_select"] = (in a) => MaskedSelect(a),
        ["masked_fill"] = (in a) => MaskedFill(a),
        ["masked_scatter"] = (in a) => a.Tensor(0).masked_scatter(a.Tensor(1), a.Tensor(2)),
        ["where"] = (in a) => WhereOp(a),
        ["nonzero"] = (in a) => a.Bool(1) ? Tuple(Indexing.Nonzero(TensorWithData(a, 0), a.Schema.Name, a.Context).unbind(1))
        : Indexing.Nonzero(TensorWithData(a, 0), a.Schema.Name, a.Context),
        ["argwhere"] = (in a) => Indexing.Nonzero(TensorWithData(a, 0), a.Schema.Name, a.Context),
        ["index_put"] = (in a) => Indexing.IndexPut(a.Tensor(0).clone(), a, 1, a.TensorLike(2, a.Tensor(0)), a.Bool(3)),
        ["index_add"] = (in a) => a.Tensor(0).index_add(a.Int(1), a.Tensor(2), a.Tensor(3), a.Scalar(4)),
        ["index_copy"] = (in a) => a.Tensor(0).index_copy(a.Int(1), a.Tensor(2), a.Tensor(3)),
        ["index_fill"] = (in a) => a.Tensor(0).index_fill(a.Int(1), a.Tensor(2), a.Scalar(3)),
        ["scatter"] = (in a) => a.Tensor(0).scatter(a.Int(1), a.Tensor(2), ScatterSource(a)),
        ["scatter_add"] = (in a) => a.Tensor(0).scatter_add(a.Int(1), a.Tensor(2), a.Tensor(3)),
        ["select_scatter"] = (in a) => a.Tensor(0).select_scatter(a.Tensor(1), a.Int(2), a.Int(3)),
        ["slice_scatter"] = (in a) => a.Tensor(0).slice_scatter(a.Tensor(1), a.Int(2), a.OptionalInt(3), a.OptionalInt(4), a.Int(5)),
    };

    private static Tensor IndexSelect(Tensor self, long dim, Tensor index, KernelContext context)
    {
        if (self.ndim > 0)
        {
            dim = KernelGuards.WrapDim("index_select", dim, self.ndim);
            long[] shape = self.shape;
            shape[dim] = index.numel();
            KernelGuards.Size("index_select", shape, self.dtype, context);
            if (KernelGuards.IsMeta(self) || KernelGuards.IsMeta(index)) return zeros(shape, self.dtype, META);
        }
        return self.index_select(dim, index);
    }

    private static Tensor MaskedSelect(in OpArguments a)
    {
        Tensor self = TensorWithData(a, 0), mask = TensorWithData(a, 1);
        long most = ShapeMath.ElementCount(ShapeMath.Broadcast(self.shape, mask.shape) ?? []);
        if (a.Context.Limits is not null && most > SmallCount)
        {
            long selected = KernelGuards.CountNonzero(mask, a.Context);
            KernelGuards.Allocate("masked_select", ShapeMath.SaturatingMultiply(selected, most / Math.Max(1, mask.numel())),
                self.element_size(), a.Context);
        }
        return self.masked_select(mask);
    }

    /// <summary>The elements of an argument up to which its elements need not be counted before they are selected.</summary>
    internal const long SmallCount = 1 << 16;

    private static Tensor WhereOp(in OpArguments a)
    {
        object self = a.Operand(1), other = a.Operand(2);
        (Tensor x, Tensor y) = (self, other) switch
        {
            (Tensor first, Tensor second) => (first, second),
            (Tensor first, _) => (first, a.TensorLike(2, first)),
            (_, Tensor second) => (a.TensorLike(1, second), second),
            _ => (Numbers.ToTensor(self, a.Context), Numbers.ToTensor(other, a.Context)),
        };
        return Where(a.Tensor(0), x, y);
    }

    /// <summary>libtorch has no shape rule for where on the meta device.</summary>
    private static Tensor Where(Tensor condition, Tensor x, Tensor y)
    {
        if (!KernelGuards.IsMeta(condition) && !KernelGuards.IsMeta(x) && !KernelGuards.IsMeta(y)) return where(condition, x, y);
        long[]? shape = ShapeMath.Broadcast(x.shape, y.shape) is { } both ? ShapeMath.Broadcast(condition.shape, both) : null;
        return shape is null
            ? throw Errors.CreateException(ErrorCode.ShapeMismatch,
                $"where: the shapes {Describe.Shape(condition)}, {Describe.Shape(x)} and {Describe.Shape(y)} do not broadcast")
            : zeros(shape, result_type(x, y), META);
    }
}
