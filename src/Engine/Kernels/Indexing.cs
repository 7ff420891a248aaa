using Ndif.Protocol;
using TorchSharp;
using static TorchSharp.torch;
using Tensor = TorchSharp.torch.Tensor;

namespace Ndif.Engine.Kernels;

/// <summary>
/// Python's x[...] on tensors, tuples, lists and maps. On tensors it is PyTorch's (torch/csrc/autograd/python_variable_indexing.cpp):
/// ints and slices make views one after the other; tensors, lists and masks are collected and applied at once at the end.
/// </summary>
internal static class Indexing
{
    public static object? Get(in OpArguments a) => a[0] switch
    {
        Tensor tensor => GetTensor(tensor, a[1], a),
        IReadOnlyDictionary<string, object?> map => ContainerIndexing.Get(map, a[1], a.Schema.Name),
        IReadOnlyList<object?> list => ContainerIndexing.Get(list, a[1], a.Schema.Name),
        string text => ContainerIndexing.Get(text, a[1], a.Schema.Name),
        _ => throw Errors.CreateException(ErrorCode.BadArgument, $"getitem(): there is nothing to index in {Describe.Kind(a[0])}."),
    };

    public static object? Set(in OpArguments a)
    {
        if (a[0] is not Tensor self) return ContainerIndexing.Set(a[0], a[1], a[2], a.Schema.Name);
        (Tensor target, Tensor?[] picks) = ApplyViews(self, a[1], a);
        if (Array.TrueForAll(picks, p => p is null))
        {
            if (a.IsNumber(2)) target.fill_(a.Scalar(2));
            else CopyBroadcast(target, a.TensorLike(2, target));
        }
        else
        {
            Tensor value = a.TensorLike(2, target);
            target.index_put_(value.dtype == target.dtype ? value : value.to(target.dtype), ToTensorIndices(picks));
        }
        return self;
    }

    /// <summary>index_put_: tensors (or None for a whole dimension), one for each of the first dimensions.</summary>
    public static Tensor IndexPut(Tensor self, in OpArguments a, int position, Tensor values, bool accumulate)
    {
        object? indices = a[position] is IReadOnlyList<object?> list ? list.Select(i => i ?? new SliceValue(null, null, null)).ToArray() : a[position];
        (Tensor target, Tensor?[] picks) = ApplyViews(self, indices, a);
        if (Array.TrueForAll(picks, p => p is null))
            _ = accumulate ? target.add_(values) : target.copy_(values);
        else if (accumulate)
            IndexPutAccumulate(target, picks, values.dtype == target.dtype ? values : values.to(target.dtype));
        else
            target.index_put_(values.dtype == target.dtype ? values : values.to(target.dtype), ToTensorIndices(picks));
        return self;
    }

    /// <summary>
    /// THSTensor_index_put_ takes every index for a tensor when it accumulates (a slice is a null pointer, and the process ends):
    /// the dimensions with tensors come first, and those without are left out.
    /// </summary>
    private static void IndexPutAccumulate(Tensor target, Tensor?[] indices, Tensor values)
    {
        long[] picked = [.. Enumerable.Range(0, indices.Length).Where(d => indices[d] is not null).Select(d => (long)d)];
        long[] rest = [.. Enumerable.Range(0, (int)target.ndim).Select(d => (long)d).Except(picked)];
        Tensor[] tensors = [.. indices.OfType<Tensor>()];
        long[] spread = tensors.Aggregate<Tensor, long[]?>([], (shape, t) => shape is null ? null : ShapeMath.Broadcast(shape, t.shape))
            ?? throw Errors.CreateException(ErrorCode.ShapeMismatch, $"shape mismatch: indexing tensors could not be broadcast together with shapes {string.Join(", ", tensors.Select(Describe.Shape))}");
        long[] sizes = target.shape;
        // neighbours among the indexed dimensions keep their place in the result, others come first
        int place = picked[^1] - picked[0] == picked.Length - 1 ? (int)picked[0] : 0;
        long[] shape = [.. rest.Take(place).Select(d => sizes[d]), .. spread, .. rest.Skip(place).Select(d => sizes[d])];
        if (ShapeMath.Broadcast(shape, values.shape)?.SequenceEqual(shape) != true)
            throw Errors.CreateException(ErrorCode.ShapeMismatch, $"shape mismatch: value tensor of shape {Describe.Shape(values)} cannot be broadcast to indexing result of shape {Describe.Shape(shape)}");
        Tensor first = values.expand(shape)
            .permute([.. Enumerable.Range(place, spread.Length).Select(d => (long)d), .. Enumerable.Range(0, shape.Length).Where(d => d < place || d >= place + spread.Length).Select(d => (long)d)]);
        target.permute([.. picked, .. rest]).index_put_(first, [.. tensors.Select(TensorIndex.Tensor)], accumulate: true);
    }

    /// <summary>One position along a dimension, with PyTorch's sentence if it is not there.</summary>
    public static Tensor Select(Tensor self, long dim, long index, long? namedDim = null)
    {
        long size = self.shape[dim];
        if (index < -size || index >= size)
            throw Errors.CreateException(ErrorCode.IndexOutOfRange, $"index {index} is out of bounds for dimension {namedDim ?? dim} with size {size}");
        return self.select(dim, index < 0 ? index + size : index);
    }

    private static Tensor GetTensor(Tensor self, object? index, in OpArguments a)
    {
        (Tensor result, Tensor?[] picks) = ApplyViews(self, index, a);
        if (Array.TrueForAll(picks, p => p is null)) return ReferenceEquals(result, self) ? self.alias() : result;
        long[]? picked = [];
        long elements = result.numel();
        for (int i = 0; i < picks.Length; i++)
        {
            if (picks[i] is not { } pick) continue;
            picked = ShapeMath.Broadcast(picked, pick.shape)
                ?? throw Errors.CreateException(ErrorCode.ShapeMismatch,
                    $"shape mismatch: indexing tensors could not be broadcast together with shapes {string.Join(", ", picks.OfType<Tensor>().Select(Describe.Shape))}");
            elements /= Math.Max(result.shape[i], 1);
        }
        KernelGuards.Size(a.Schema.Name, ShapeMath.SaturatingMultiply(elements, ShapeMath.ElementCount(picked)), result.element_size(), a.Context);
        return result.index(ToTensorIndices(picks));
    }

    /// <summary>The views of ints, slices and new axes, and the tensors still to be applied, by dimension of that view.</summary>
    private static (Tensor View, Tensor?[] Picks) ApplyViews(Tensor self, object? index, in OpArguments a)
    {
        object?[] entries = index as object?[] ?? [index];
        for (int i = 0; i < entries.Length; i++) entries = NormalizeEntry(entries, i, a);
        int consumed = entries.Sum(entry => entry switch { Tensor { dtype: ScalarType.Bool } mask => (int)mask.ndim, Tensor or long or SliceValue => 1, _ => 0 });
        if (consumed > self.ndim)
            throw Errors.CreateException(ErrorCode.IndexOutOfRange, $"too many indices for tensor of dimension {self.ndim}", $"The tensor's shape is {Describe.Shape(self)}.");
        if (entries.Count(e => e is EllipsisValue) > 1)
            throw Errors.CreateException(ErrorCode.BadArgument, "an index can only have a single ellipsis ('...')");

        Tensor view = self;
        List<Tensor?> picks = [];
        int dim = 0, own = 0; // of the view, and of self for messages
        foreach (object? entry in entries)
        {
            switch (entry)
            {
                case long position:
                    view = Select(view, dim, position, own++);
                    break;
                case SliceValue slice:
                    view = Slice(view, dim++, slice, a);
                    own++;
                    break;
                case EllipsisValue:
                    dim += (int)self.ndim - consumed;
                    own += (int)self.ndim - consumed;
                    break;
                case null:
                    view = view.unsqueeze(dim++);
                    break;
                case bool flag:
                    view = view.unsqueeze(dim);
                    Pick(dim++, flag ? zeros(1, ScalarType.Int64, device: self.device) : zeros(0, ScalarType.Int64, device: self.device));
                    break;
                case Tensor { dtype: ScalarType.Bool } mask:
                    foreach (Tensor places in MaskToIndices(mask, view, dim, own, a))
                    {
                        Pick(dim++, places);
                        own++;
                    }
                    break;
                case Tensor positions:
                    Pick(dim++, positions);
                    own++;
                    break;
            }
        }
        while (picks.Count < view.ndim) picks.Add(null);
        return (view, [.. picks]);

        void Pick(int at, Tensor tensor)
        {
            while (picks.Count < at) picks.Add(null);
            picks.Add(tensor);
        }
    }

    /// <summary>One entry as long, bool, slice, ellipsis, null, mask or tensor of positions.</summary>
    private static object?[] NormalizeEntry(object?[] entries, int i, in OpArguments a)
    {
        object? entry = entries[i];
        object? normal = entry switch
        {
            null or long or bool or SliceValue or EllipsisValue => entry,
            int number => (long)number,
            Tensor { ndim: 0 } number when Numbers.IsInteger(number) => KernelGuards.IsMeta(number) ? 0L : Numbers.Item(number, a.Schema.Name),
            Tensor { dtype: ScalarType.Byte } mask => mask.to(ScalarType.Bool),
            Tensor { dtype: ScalarType.Bool or ScalarType.Int64 } tensor => tensor,
            Tensor tensor when Numbers.IsInteger(tensor) => tensor.to(ScalarType.Int64),
            Tensor tensor => throw Errors.CreateException(ErrorCode.BadArgument, $"tensors used as indices must be integers or bools, not {Describe.Kind(tensor)}."),
            IReadOnlyList<object?> { Count: 0 } => zeros(0, ScalarType.Int64, device: a.Context.Device),
            IReadOnlyList<object?> or Array => Whole(NestedLists.ToTensor(entry, null, a.Context.Device, a.Context, a.Schema.Name)),
            _ => throw Errors.CreateException(ErrorCode.BadArgument,
                $"only integers, slices (`:`), ellipsis (`...`), None and long or bool tensors are valid indices, not {Describe.Kind(entry)}."),
        };
        if (ReferenceEquals(normal, entry)) return entries;
        object?[] copy = [.. entries];
        copy[i] = normal;
        return copy;

        static Tensor Whole(Tensor tensor) => tensor.dtype == ScalarType.Bool || Numbers.IsInteger(tensor) ? tensor
            : throw Errors.CreateException(ErrorCode.BadArgument, $"tensors used as indices must be integers or bools, not {Describe.Kind(tensor)}.");
    }

    private static Tensor Slice(Tensor self, int dim, SliceValue slice, in OpArguments a)
    {
        long? start = ToBound(slice.Start, a), stop = ToBound(slice.Stop, a), step = ToBound(slice.Step, a);
        if (step <= 0) throw Errors.CreateException(ErrorCode.BadArgument, $"slice step must be positive, not {step}", "Use `flip` to turn a dimension round.");
        return start is null or 0 && stop is null && step is null or 1 ? self : self.slice(dim, start ?? 0, stop ?? long.MaxValue, step ?? 1);
    }

    private static long? ToBound(object? bound, in OpArguments a) => Numbers.From(bound, a.Schema.Name) switch
    {
        null when bound is null => null,
        long number => number,
        bool flag => flag ? 1 : 0,
        _ => throw Errors.CreateException(ErrorCode.BadArgument, $"slice indices must be integers or None, not {Describe.Kind(bound)}."),
    };

    /// <summary>Where a mask is true, as one tensor of positions for each of its dimensions.</summary>
    private static Tensor[] MaskToIndices(Tensor mask, Tensor view, int dim, int own, in OpArguments a)
    {
        KernelGuards.HasData(mask, a.Schema.Name);
        long[] shape = view.shape;
        for (int i = 0; i < mask.ndim; i++)
            if (mask.shape[i] != shape[dim + i])
                throw Errors.CreateException(ErrorCode.ShapeMismatch,
                    $"The shape of the mask {Describe.Shape(mask)} at index {i} does not match the shape of the indexed tensor {Describe.Shape(shape)} at index {own + i}");
        return mask.nonzero().unbind(1);
    }

    private static TensorIndex[] ToTensorIndices(Tensor?[] indices) => [.. indices.Select(pick => pick is null ? TensorIndex.Slice() : TensorIndex.Tensor(pick))];

    /// <summary>Leading dimensions of size 1 that the target lacks are dropped, as PyTorch does.</summary>
    private static void CopyBroadcast(Tensor target, Tensor value)
    {
        while (value.ndim > target.ndim && value.shape[0] == 1) value = value.squeeze(0);
        if (ShapeMath.Broadcast(target.shape, value.shape)?.SequenceEqual(target.shape) != true)
            throw Errors.CreateException(ErrorCode.ShapeMismatch, $"shape mismatch: value tensor of shape {Describe.Shape(value)} cannot be broadcast to indexing result of shape {Describe.Shape(target)}");
        target.copy_(value);
    }
}
