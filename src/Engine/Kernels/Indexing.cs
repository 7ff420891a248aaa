using Ndif.Engine.Kernels.Costs;
using Ndif.Protocol;
using TorchSharp;
using static TorchSharp.torch;
using Tensor = TorchSharp.torch.Tensor;

namespace Ndif.Engine.Kernels;

/// <summary>
/// Python's x[...] on tensors, tuples, lists and dictionaries. On tensors it follows PyTorch
/// (torch/csrc/autograd/python_variable_indexing.cpp): integers and slices create views one after another; tensors, lists and masks are
/// collected and applied together at the end.
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
            CountSelected(target, picks, a);
            Tensor values = Convert(a.TensorLike(2, target), target.dtype, a, NewBytes(picks, a[1]));
            target.index_put_(values, ToTensorIndices(picks));
        }
        return self;
    }

    /// <summary>index_put_ with tensors (or None for a whole dimension), one for each of the first dimensions.</summary>
    public static Tensor IndexPut(Tensor self, in OpArguments a, int position, Tensor values, bool accumulate)
    {
        object? indices = a[position] is IReadOnlyList<object?> list ? list.Select(i => i ?? new SliceValue(null, null, null)).ToArray()
            : a[position];
        (Tensor target, Tensor?[] picks) = ApplyViews(self, indices, a);
        if (Array.TrueForAll(picks, p => p is null))
        {
            _ = accumulate ? target.add_(values) : target.copy_(values);
            return self;
        }
        CountSelected(target, picks, a);
        Tensor converted = Convert(values, target.dtype, a, NewBytes(picks, indices));
        if (accumulate) IndexPutAccumulate(target, picks, converted);
        else target.index_put_(converted, ToTensorIndices(picks));
        return self;
    }

    /// <param name="newBytes">What the call has allocated before.</param>
    private static Tensor Convert(Tensor values, ScalarType type, in OpArguments a, long newBytes = 0)
    {
        if (values.dtype == type) return values;
        KernelGuards.Allocate(a.Schema.Name, values.numel(), KernelGuards.ElementSize(type), a.Context, newBytes);
        return values.to(type);
    }

    /// <summary>
    /// index_put_ with accumulation. THSTensor_index_put_ then treats every index as a tensor (a slice is a null pointer, which ends
    /// the process), so the indexed dimensions are moved to the front and the others are omitted.
    /// </summary>
    private static void IndexPutAccumulate(Tensor target, Tensor?[] indices, Tensor values)
    {
        long[] indexedDims = [.. Enumerable.Range(0, indices.Length).Where(d => indices[d] is not null).Select(d => (long)d)];
        long[] otherDims = [.. Enumerable.Range(0, (int)target.ndim).Select(d => (long)d).Except(indexedDims)];
        Tensor[] tensors = [.. indices.OfType<Tensor>()];
        long[] indexShape = tensors.Aggregate<Tensor, long[]?>([], (shape, t) => shape is null ? null : ShapeMath.Broadcast(shape, t.shape))
            ?? throw Errors.CreateException(ErrorCode.ShapeMismatch,
                $"shape mismatch: indexing tensors could not be broadcast together with shapes "
                + $"{string.Join(", ", tensors.Select(Describe.Shape))}");
        long[] sizes = target.shape;
        // adjacent indexed dimensions keep their position in the result, others move to the front
        int insertAt = indexedDims[^1] - indexedDims[0] == indexedDims.Length - 1 ? (int)indexedDims[0] : 0;
        long[] shape =
            [.. otherDims.Take(insertAt).Select(d => sizes[d]), .. indexShape, .. otherDims.Skip(insertAt).Select(d => sizes[d])];
        if (ShapeMath.Broadcast(shape, values.shape)?.SequenceEqual(shape) != true)
            throw Errors.CreateException(ErrorCode.ShapeMismatch,
                $"shape mismatch: value tensor of shape {Describe.Shape(values)} cannot be broadcast to "
                + $"indexing result of shape {Describe.Shape(shape)}");
        Tensor valuesFirst = values.expand(shape)
            .permute(
                [.. Enumerable.Range(insertAt, indexShape.Length).Select(d => (long)d),
                    .. Enumerable.Range(0, shape.Length).Where(d => d < insertAt || d >= insertAt + indexShape.Length)
                        .Select(d => (long)d)]);
        target.permute([.. indexedDims, .. otherDims]).index_put_(valuesFirst, [.. tensors.Select(TensorIndex.Tensor)], accumulate: true);
    }

    /// <summary>Selects one position along a dimension, with PyTorch's error message if it is out of bounds.</summary>
    public static Tensor Select(Tensor self, long dim, long index, long? namedDim = null)
    {
        long size = self.shape[dim];
        if (index < -size || index >= size)
            throw Errors.CreateException(ErrorCode.IndexOutOfRange,
                $"index {index} is out of bounds for dimension {namedDim ?? dim} with size {size}");
        return self.select(dim, index < 0 ? index + size : index);
    }

    private static Tensor GetTensor(Tensor self, object? index, in OpArguments a)
    {
        (Tensor result, Tensor?[] picks) = ApplyViews(self, index, a);
        if (Array.TrueForAll(picks, p => p is null)) return ReferenceEquals(result, self) ? self.alias() : result;
        KernelGuards.Allocate(a.Schema.Name, CountSelected(result, picks, a), result.element_size(), a.Context, NewBytes(picks, index));
        return result.index(ToTensorIndices(picks));
    }

    /// <summary>The bytes of the index tensors that were made from masks or converted.</summary>
    private static long NewBytes(Tensor?[] picks, object? index) => picks.OfType<Tensor>()
        .Where(pick => !ReferenceEquals(pick, index) && (index as object?[])?.Contains(pick, ReferenceEqualityComparer.Instance) != true)
        .Sum(pick => ShapeMath.SaturatingMultiply(pick.numel(), pick.element_size()));

    /// <summary>The elements that index tensors select, one tensor for each of the first dimensions or null.</summary>
    /// <exception cref="NdifException">SHAPE_MISMATCH, or LIMIT_EXCEEDED because it would take too long.</exception>
    private static long CountSelected(Tensor view, Tensor?[] picks, in OpArguments a)
    {
        long[]? indexShape = [];
        long[] shape = view.shape;
        long rest = 1;
        for (int i = 0; i < picks.Length; i++)
        {
            if (picks[i] is not { } pick)
            {
                rest = ShapeMath.SaturatingMultiply(rest, shape[i]);
                continue;
            }
            indexShape = ShapeMath.Broadcast(indexShape, pick.shape)
                ?? throw Errors.CreateException(ErrorCode.ShapeMismatch,
                    $"shape mismatch: indexing tensors "
                    + $"could not be broadcast together with shapes {string.Join(", ", picks.OfType<Tensor>().Select(Describe.Shape))}");
        }
        long selected = ShapeMath.SaturatingMultiply(rest, ShapeMath.ElementCount(indexShape));
        BoundedOperation.RequireShort(new OpCost(0, 0, 4.0 * selected), a);
        return selected;
    }

    /// <summary>
    /// Applies integers, slices and new axes as views. Returns the view, and for each of its dimensions the index tensor to apply, or
    /// null.
    /// </summary>
    private static (Tensor View, Tensor?[] Picks) ApplyViews(Tensor self, object? index, in OpArguments a)
    {
        object?[] entries = index as object?[] ?? [index];
        for (int i = 0; i < entries.Length; i++) entries = NormalizeEntry(entries, i, a);
        int consumed =
            entries.Sum(entry =>
                entry switch { Tensor mask when IsMask(mask) => (int)mask.ndim, Tensor or long or SliceValue => 1, _ => 0 });
        if (consumed > self.ndim)
            throw Errors.CreateException(ErrorCode.IndexOutOfRange, $"too many indices for tensor of dimension {self.ndim}",
                $"The tensor's shape is {Describe.Shape(self)}.");
        if (entries.Count(e => e is EllipsisValue) > 1)
            throw Errors.CreateException(ErrorCode.BadArgument, "an index can only have a single ellipsis ('...')");

        Tensor view = self;
        List<Tensor?> picks = [];
        int dim = 0, selfDim = 0; // the dimension of the view, and that of self for error messages
        foreach (object? entry in entries)
        {
            switch (entry)
            {
                case long position:
                    view = Select(view, dim, position, selfDim++);
                    break;
                case SliceValue slice:
                    view = Slice(view, dim++, slice, a);
                    selfDim++;
                    break;
                case EllipsisValue:
                    dim += (int)self.ndim - consumed;
                    selfDim += (int)self.ndim - consumed;
                    break;
                case null:
                    view = view.unsqueeze(dim++);
                    break;
                case bool flag:
                    view = view.unsqueeze(dim);
                    Pick(dim++, flag ? zeros(1, ScalarType.Int64, device: self.device) : zeros(0, ScalarType.Int64, device: self.device));
                    break;
                case Tensor mask when IsMask(mask):
                    foreach (Tensor indices in MaskToIndices(mask, view, dim, selfDim, a))
                    {
                        Pick(dim++, indices);
                        selfDim++;
                    }
                    break;
                case Tensor positions:
                    Pick(dim++, positions);
                    selfDim++;
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

    /// <summary>Normalizes one entry to a long, bool, slice, ellipsis, null, mask or tensor of positions.</summary>
    private static object?[] NormalizeEntry(object?[] entries, int i, in OpArguments a)
    {
        object? entry = entries[i];
        object? normal = entry switch
        {
            null or long or bool or SliceValue or EllipsisValue => entry,
            int number => (long)number,
            Tensor { ndim: 0 } number when Numbers.IsInteger(number) => KernelGuards.IsMeta(number) ? 0L
                : Numbers.Item(number, a.Schema.Name),
            Tensor { dtype: ScalarType.Bool or ScalarType.Byte or ScalarType.Int64 } tensor => tensor,
            Tensor tensor when Numbers.IsInteger(tensor) => Convert(tensor, ScalarType.Int64, a),
            Tensor tensor =>
                throw Errors.CreateException(ErrorCode.BadArgument,
                    $"tensors used as indices must be integers or bools, not {Describe.Kind(tensor)}."),
            IReadOnlyList<object?> { Count: 0 } => zeros(0, ScalarType.Int64, device: a.Context.Device),
            IReadOnlyList<object?>
                or Array => CheckIndexType(NestedLists.ToTensor(entry, null, a.Context.Device, a.Context, a.Schema.Name)),
            _ => throw Errors.CreateException(ErrorCode.BadArgument,
                $"only integers, slices (`:`), ellipsis (`...`), "
                + $"None and long or bool tensors are valid indices, not {Describe.Kind(entry)}."),
        };
        if (ReferenceEquals(normal, entry)) return entries;
        object?[] copy = [.. entries];
        copy[i] = normal;
        return copy;

        static Tensor CheckIndexType(Tensor tensor) => tensor.dtype == ScalarType.Bool || Numbers.IsInteger(tensor) ? tensor
            : throw Errors.CreateException(ErrorCode.BadArgument,
                $"tensors used as indices must be integers or bools, not {Describe.Kind(tensor)}.");
    }

    private static Tensor Slice(Tensor self, int dim, SliceValue slice, in OpArguments a)
    {
        long? start = SliceValue.ToInteger(slice.Start, a.Schema.Name), stop = SliceValue.ToInteger(slice.Stop, a.Schema.Name);
        long? step = SliceValue.ToInteger(slice.Step, a.Schema.Name);
        if (step <= 0)
            throw Errors.CreateException(ErrorCode.BadArgument, $"slice step must be positive, not {step}",
                "Use `flip` to reverse a dimension.");
        return start is null or 0 && stop is null && step is null or 1 ? self
            : self.slice(dim, start ?? 0, stop ?? long.MaxValue, step ?? 1);
    }

    private static bool IsMask(Tensor index) => index.dtype is ScalarType.Bool or ScalarType.Byte;

    /// <summary>The positions where a mask is true, as one tensor for each of its dimensions.</summary>
    private static Tensor[] MaskToIndices(Tensor mask, Tensor view, int dim, int selfDim, in OpArguments a)
    {
        KernelGuards.HasData(mask, a.Schema.Name);
        long[] shape = view.shape;
        for (int i = 0; i < mask.ndim; i++)
            if (mask.shape[i] != shape[dim + i])
                throw Errors.CreateException(ErrorCode.ShapeMismatch,
                    $"The shape of the mask {Describe.Shape(mask)} at index {i} does not match the shape of the indexed tensor "
                    + $"{Describe.Shape(shape)} at index {selfDim + i}");
        return Nonzero(mask, a.Schema.Name, a.Context).unbind(1);
    }

    /// <summary>The positions of the elements that are not zero, counted before memory is allocated for them: [count, dimensions]</summary>
    public static Tensor Nonzero(Tensor tensor, string op, KernelContext context)
    {
        if (context.Limits is not null && tensor.numel() > KernelTable.SmallCount)
            KernelGuards.Allocate(op, ShapeMath.SaturatingMultiply(KernelGuards.CountNonzero(tensor, context), Math.Max(1, tensor.ndim)),
                sizeof(long), context);
        return tensor.nonzero();
    }

    private static TensorIndex[] ToTensorIndices(Tensor?[] indices) =>
        [.. indices.Select(pick => pick is null ? TensorIndex.Slice() : TensorIndex.Tensor(pick))];

    /// <summary>
    /// Copies a value that broadcasts to the target. Leading dimensions of size 1 that the target does not have are dropped, as in
    /// PyTorch.
    /// </summary>
    private static void CopyBroadcast(Tensor target, Tensor value)
    {
        while (value.ndim > target.ndim && value.shape[0] == 1) value = value.squeeze(0);
        if (ShapeMath.Broadcast(target.shape, value.shape)?.SequenceEqual(target.shape) != true)
            throw Errors.CreateException(ErrorCode.ShapeMismatch,
                $"shape mismatch: value tensor of shape {Describe.Shape(value)} cannot be broadcast to "
                + $"indexing result of shape {Describe.Shape(target)}");
        target.copy_(value);
    }
}
