using Ndif.Protocol;
using TorchSharp;
using static TorchSharp.torch;
using Tensor = TorchSharp.torch.Tensor;

namespace Ndif.Engine.Kernels;

internal static partial class KernelTable
{
    private static Dictionary<string, Kernel> ShapeKernels() => new()
    {
        ["view"] = (in a) => a.Tensor(0).view(a.Ints(1)),
        ["reshape"] = (in a) => a.Tensor(0).reshape(a.Ints(1)),
        ["view_as"] = (in a) => a.Tensor(0).view(a.Tensor(1).shape),
        ["reshape_as"] = (in a) => a.Tensor(0).reshape(a.Tensor(1).shape),
        ["transpose"] = (in a) => a.Tensor(0).transpose(a.Int(1), a.Int(2)),
        ["t"] = (in a) => a.Tensor(0).t(),
        ["mT"] = (in a) => a.Tensor(0).transpose(-2, -1),
        ["permute"] = (in a) => a.Tensor(0).permute(a.Ints(1)),
        ["movedim"] = (in a) => a.Tensor(0).movedim(a.Ints(1), a.Ints(2)),
        ["squeeze"] = (in a) => a.Has(1) ? Squeeze(a.Tensor(0), Dims(a, 1)) : a.Tensor(0).squeeze(),
        ["unsqueeze"] = (in a) => a.Tensor(0).unsqueeze(a.Int(1)),
        ["expand"] = (in a) => Expand(a, a.Ints(1)),
        ["expand_as"] = (in a) => Expand(a, a.Tensor(1).shape),
        ["broadcast_to"] = (in a) => Expand(a, a.Ints(1)),
        ["repeat"] = (in a) => a.Tensor(0).repeat(RepeatCounts(a, 1)),
        ["tile"] = (in a) => a.Tensor(0).tile(RepeatCounts(a, 1)),
        ["repeat_interleave"] = (in a) => RepeatInterleave(a),
        ["flatten"] = (in a) => a.Tensor(0).flatten(a.Int(1), a.Int(2)),
        // TorchSharp accepts no negative dimension
        ["unflatten"] = (in a) => a.Tensor(0).unflatten(KernelGuards.WrapDim("unflatten", a.Int(1), a.Tensor(0).ndim), a.Ints(2)),
        ["unfold"] = (in a) => Unfold(a),
        ["cat"] = (in a) => Concatenate(a, t => cat(t.Tensors, t.Dim), 1),
        ["stack"] = (in a) => Concatenate(a, t => stack(t.Tensors, t.Dim), 1),
        ["hstack"] = (in a) => Concatenate(a, t => hstack(t.Tensors), null),
        ["vstack"] = (in a) => Concatenate(a, t => vstack(t.Tensors), null),
        ["split"] = (in a) => Split(a),
        ["tensor_split"] = (in a) => TensorSplit(a),
        ["chunk"] = (in a) => Chunk(a),
        ["unbind"] = (in a) => Unbind(a),
        ["narrow"] = (in a) => a.Tensor(0).narrow(a.Int(1), a.Int(2), a.Int(3)),
        ["select"] = (in a) => Indexing.Select(a.Tensor(0), KernelGuards.WrapDim("select", a.Int(1), a.Tensor(0).ndim), a.Int(2)),
        ["diagonal"] = (in a) => a.Tensor(0).diagonal(a.Int(1), a.Int(2), a.Int(3)),
        ["flip"] = (in a) => a.Tensor(0).flip(a.Ints(1)),
        ["roll"] = (in a) => a.Has(2) ? a.Tensor(0).roll(a.Ints(1), a.Ints(2))
        : a.Tensor(0).flatten().roll(a.Ints(1), _first).reshape(a.Tensor(0).shape),
        ["pad"] = (in a) => Pad(a),
        ["contiguous"] = (in a) => a.Tensor(0).contiguous(),
        ["clone"] = (in a) => a.Tensor(0).clone(),
        ["detach"] = (in a) => a.Tensor(0).detach(),
        ["shape"] = (in a) => Sizes(a.Tensor(0)),
        ["size"] = (in a) => a.OptionalInt(1) is { } dim ? (object)a.Tensor(0).shape[KernelGuards.WrapDim("size", dim, a.Tensor(0).ndim)]
        : Sizes(a.Tensor(0)),
        ["numel"] = (in a) => a.Tensor(0).numel(),
        ["dim"] = (in a) => a.Tensor(0).ndim,
        ["len"] = (in a) => Length(a),
    };

    private static readonly long[] _first = [0];

    private static List<object?> Sizes(Tensor tensor) => [.. tensor.shape.Select(size => (object?)size)];

    /// <summary>Removes those of the given dimensions that have size 1. The dimensions are counted from the front.</summary>
    private static Tensor Squeeze(Tensor self, long[] dims)
    {
        Tensor result = self.alias();
        foreach (long dim in dims.OrderDescending())
            result = result.squeeze(dim);
        return result;
    }

    /// <summary>
    /// Expands a tensor, and checks the size of the result, although it is a view: values that are computed from it need that memory.
    /// </summary>
    private static Tensor Expand(in OpArguments a, long[] sizes)
    {
        Tensor self = a.Tensor(0);
        long[] own = self.shape, shape = [.. sizes];
        for (int i = 1; i <= shape.Length; i++)
            if (shape[^i] == -1) shape[^i] = i <= own.Length ? own[^i]
                : throw Errors.CreateException(ErrorCode.BadArgument, $"{a.Schema.Name}(): a new dimension needs a size, not -1.");
        KernelGuards.Size(a.Schema.Name, shape, self.dtype, a.Context);
        return self.expand(shape);
    }

    private static long[] RepeatCounts(in OpArguments a, int position)
    {
        long[] times = a.Ints(position);
        KernelGuards.Size(a.Schema.Name, times, ScalarType.Bool, a.Context);
        KernelGuards.Size(a.Schema.Name, ShapeMath.SaturatingMultiply(ShapeMath.ElementCount(times), a.Tensor(0).numel()),
            a.Tensor(0).element_size(), a.Context);
        return times;
    }

    private static Tensor RepeatInterleave(in OpArguments a)
    {
        Tensor self = a.Tensor(0);
        if (a.IsNumber(1) || a[1] is Tensor { ndim: 0 })
        {
            long times = a.Number(1) is long count ? count : throw a.Mismatch(1);
            KernelGuards.Size("repeat_interleave", ShapeMath.SaturatingMultiply(self.numel(), times), self.element_size(), a.Context);
            long repeated = a.OptionalInt(2) is { } axis && self.ndim > 0
                ? self.shape[KernelGuards.WrapDim("repeat_interleave", axis, self.ndim)] : self.numel();
            KernelGuards.Size("repeat_interleave", ShapeMath.SaturatingMultiply(repeated, times), sizeof(long), a.Context); // the positions
            return self.repeat_interleave(times, a.OptionalInt(2));
        }
        Tensor repeats = a.Tensor(1);
        KernelGuards.HasData(repeats, "repeat_interleave");
        long along = a.OptionalInt(2) is { } dim ? self.shape[KernelGuards.WrapDim("repeat_interleave", dim, self.ndim)] : self.numel();
        if (repeats.dtype is not (ScalarType.Int64 or ScalarType.Int32))
            throw Errors.CreateException(ErrorCode.BadArgument,
                $"repeat_interleave(): repeats must be an int64 or int32 tensor, not {Describe.TypeName(repeats.dtype)}.",
                "Call Long() on it.");
        if (repeats.ndim > 1 || repeats.numel() != 1 && repeats.numel() != along)
            throw Errors.CreateException(ErrorCode.ShapeMismatch,
                $"repeat_interleave(): repeats must have one dimension of size 1 or {along}, not the shape {Describe.Shape(repeats)}.");
        // of one dimension: without one libtorch copies what is not contiguous
        if (along > 0 && repeats.amin([0L]).item<long>() < 0)
            throw Errors.CreateException(ErrorCode.OpFailed, "repeat_interleave(): repeats must not be negative.");
        long rows = repeats.sum(ScalarType.Int64).item<long>();
        if (repeats.numel() == 1) rows = ShapeMath.SaturatingMultiply(rows, along); // one number for all
        KernelGuards.Allocate("repeat_interleave", ShapeMath.SaturatingMultiply(along == 0 ? 0 : self.numel() / along, rows),
            self.element_size(), a.Context, ShapeMath.SaturatingMultiply(rows, sizeof(long))
                + (2 * sizeof(long) * along) + (self.numel() * self.element_size()));
        return self.repeat_interleave(repeats, a.OptionalInt(2));
    }

    private static Tensor Unfold(in OpArguments a)
    {
        Tensor self = a.Tensor(0);
        long size = a.Int(2), step = a.Int(3);
        if (self.ndim > 0 && size > 0 && step > 0)
        {
            long along = self.shape[KernelGuards.WrapDim("unfold", a.Int(1), self.ndim)];
            if (size <= along)
                KernelGuards.Size("unfold",
                    ShapeMath.SaturatingMultiply(
                        ShapeMath.SaturatingMultiply(self.numel() / along, ((along - size) / step) + 1), size),
                        self.element_size(), a.Context);
        }
        return self.unfold(a.Int(1), size, step);
    }

    private static Tensor Concatenate(in OpArguments a, Func<(Tensor[] Tensors, long Dim), Tensor> join, int? dim)
    {
        Tensor[] tensors = a.Tensors(0);
        if (tensors.Length == 0)
            throw Errors.CreateException(ErrorCode.BadArgument, $"{a.Schema.Name}(): expected a non-empty list of Tensors.");
        long elements = 0, bytes = 1;
        foreach (Tensor tensor in tensors)
        {
            elements += tensor.numel();
            bytes = Math.Max(bytes, tensor.element_size());
        }
        KernelGuards.Size(a.Schema.Name, elements, bytes, a.Context);
        return join((tensors, dim is { } position ? a.Int(position) : 0));
    }

    private static List<object?> Split(in OpArguments a)
    {
        Tensor self = a.Tensor(0);
        if (self.ndim == 0) throw Errors.CreateException(ErrorCode.ShapeMismatch, "split(): the tensor needs at least one dimension.");
        long dim = KernelGuards.WrapDim("split", a.Int(2), self.ndim), along = self.shape[dim];
        if (a.IsList(1))
        {
            long[] sizes = a.Ints(1);
            if (sizes.Any(s => s < 0) || sizes.Aggregate(0L, (sum, s) => sum > along ? sum : sum + s) != along)
                throw Errors.CreateException(ErrorCode.ShapeMismatch,
                    $"split(): the sizes {Describe.Shape(sizes)} do not add up to {along}, the size of dimension {dim} of "
                    + $"{Describe.Shape(self)}.");
            KernelGuards.ListLength("split", sizes.Length, a.Context);
            return ListOf(self.split(sizes, dim));
        }
        long size = a.Int(1);
        if (size <= 0) throw Errors.CreateException(ErrorCode.BadArgument, $"split(): the size of a part must be positive, not {size}.");
        KernelGuards.ListLength("split", along / size, a.Context);
        return ListOf(self.split(Math.Min(size, Math.Max(along, 1)), (int)dim));
    }

    private static List<object?> TensorSplit(in OpArguments a)
    {
        Tensor self = a.Tensor(0);
        if (self.ndim == 0)
            throw Errors.CreateException(ErrorCode.ShapeMismatch, "tensor_split(): the tensor needs at least one dimension.");
        long dim = KernelGuards.WrapDim("tensor_split", a.Int(2), self.ndim);
        if (a.IsList(1))
        {
            KernelGuards.ListLength("tensor_split", a.Ints(1).Length, a.Context);
            return ListOf(self.tensor_split(a.Ints(1), dim));
        }
        if (a.Int(1) <= 0)
            throw Errors.CreateException(ErrorCode.BadArgument,
                $"tensor_split(): the number of sections must be positive, not {a.Int(1)}.");
        KernelGuards.ListLength("tensor_split", a.Int(1), a.Context);
        return ListOf(self.tensor_split(a.Int(1), dim));
    }

    private static List<object?> Chunk(in OpArguments a)
    {
        Tensor self = a.Tensor(0);
        if (self.ndim == 0) throw Errors.CreateException(ErrorCode.ShapeMismatch, "chunk(): the tensor needs at least one dimension.");
        if (a.Int(1) <= 0)
            throw Errors.CreateException(ErrorCode.BadArgument, $"chunk(): the number of chunks must be positive, not {a.Int(1)}.");
        long dim = KernelGuards.WrapDim("chunk", a.Int(2), self.ndim);
        // an empty dimension gives the requested number of chunks
        KernelGuards.ListLength("chunk", self.shape[dim] == 0 ? a.Int(1) : Math.Min(a.Int(1), self.shape[dim]), a.Context);
        return ListOf(self.chunk(a.Int(1), dim));
    }

    private static List<object?> Unbind(in OpArguments a)
    {
        Tensor self = a.Tensor(0);
        if (self.ndim == 0) throw Errors.CreateException(ErrorCode.ShapeMismatch, "unbind(): the tensor needs at least one dimension.");
        long dim = KernelGuards.WrapDim("unbind", a.Int(1), self.ndim);
        KernelGuards.ListLength("unbind", self.shape[dim], a.Context);
        return ListOf(self.unbind(dim));
    }

    private static Tensor Pad(in OpArguments a)
    {
        Tensor self = a.Tensor(0);
        long[] pads = a.Ints(1), shape = self.shape;
        if (pads.Length % 2 != 0 || pads.Length / 2 > shape.Length)
            throw Errors.CreateException(ErrorCode.ShapeMismatch,
                $"pad(): {pads.Length} numbers do not pad the last dimensions of {Describe.Shape(shape)}: there must be two for each.");
        for (int i = 0; i < pads.Length; i++)
        {
            if (Math.Abs(pads[i]) > a.Context.MaxTensorBytes) KernelGuards.Size("pad", long.MaxValue, 1, a.Context);
            shape[^((i / 2) + 1)] += pads[i];
        }
        KernelGuards.Size("pad", shape, self.dtype, a.Context);
        return nn.functional.pad(self, pads, a.Choice(2, ("constant", PaddingModes.Constant), ("reflect", PaddingModes.Reflect),
            ("replicate", PaddingModes.Replicate), ("circular", PaddingModes.Circular)), a.Float(3));
    }

    private static long Length(in OpArguments a) => a[0] switch
    {
        Tensor { ndim: 0 } => throw Errors.CreateException(ErrorCode.BadArgument, "len(): a tensor of no dimensions has no length."),
        Tensor tensor => tensor.shape[0],
        IReadOnlyList<object?> list => list.Count,
        IReadOnlyDictionary<string, object?> map => map.Count,
        string text => text.Length,
        _ => throw a.Mismatch(0),
    };
}
