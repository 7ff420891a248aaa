using TorchSharp;
using static TorchSharp.torch;
using Tensor = TorchSharp.torch.Tensor;

namespace Ndif.Engine.Kernels.Costs;

/// <summary>Operations whose result has a size that is given, views, and operations on positions.</summary>
internal static partial class CostTable
{
    private static IEnumerable<(string Names, CostEntry Entry)> SizeRows() =>
    [
        // views
        Row("view view_as transpose t mT permute movedim squeeze unsqueeze expand expand_as broadcast_to unflatten unfold split "
            + "tensor_split chunk unbind narrow select diagonal detach shape size numel dim len meshgrid", long.MaxValue, _free),
        Row("reshape reshape_as flatten", SmallProduct, (in a) => a[0] is Tensor self && !self.is_contiguous()
            ? new OpCost(Bytes(a, 0), 0, 2 * Count(a, 0)) : default),
        // creation
        Row("zeros ones", 0, (in a) => Filled(a, a.Ints(0), a.DType(1))),
        Row("full", 0, (in a) => Filled(a, a.Ints(0), a.DType(2) ?? ScalarType.Int64)),
        Row("zeros_like ones_like", SmallProduct, (in a) => new OpCost(Count(a, 0) * Width(a, a.DType(1)), 0, Count(a, 0))),
        Row("full_like", SmallProduct, (in a) => new OpCost(Count(a, 0) * Width(a, a.DType(2)), 0, Count(a, 0))),
        Row("new_zeros new_ones", 0, (in a) => Filled(a, a.Ints(1), a.DType(2) ?? a.Tensor(0).dtype)),
        Row("new_full", 0, (in a) => Filled(a, a.Ints(1), a.DType(3) ?? a.Tensor(0).dtype)),
        Row("arange", 0, Arange),
        Row("linspace", 0, (in a) => Filled(a, [a.Int(2)], a.DType(3), work: 4)),
        Row("logspace", 0, (in a) => Filled(a, [a.Int(2)], a.DType(4), work: 25)),
        Row("eye", 0, (in a) => Filled(a, [a.Int(0), a.OptionalInt(1) ?? a.Int(0)], a.DType(2))),
        Row("tril_indices triu_indices", 0, (in a) => Filled(a, [2, a.Int(0), a.Int(1)], ScalarType.Int64, work: 4)),
        Row("diag", 0, (in a) => a[0] is Tensor { ndim: 1 } self ? Diagonals(a, self)
            : new OpCost(Bytes(a, 0), 0, Count(a, 0))),
        Row("diag_embed", 0, (in a) => a[0] is Tensor { ndim: > 0 } self ? Diagonals(a, self) : default),
        Row("one_hot", 0, (in a) => new OpCost(8 * Count(a, 0) * Math.Max(1, (double)a.Int(1)), Count(a, 0),
            3 * Count(a, 0) * Math.Max(1, a.Int(1)))),
        // draws
        Cancellable("rand", 0, (in a) => Filled(a, a.Ints(0), a.DType(1), work: 8)),
        Cancellable("randn", 0, (in a) => Filled(a, a.Ints(0), a.DType(1), work: 20)),
        Row("randint", 0, (in a) => Filled(a, a.Ints(2), a.DType(3) ?? ScalarType.Int64, work: 4)),
        Row("randperm", 0, (in a) => Filled(a, [a.Int(0)], a.DType(1) ?? ScalarType.Int64, work: 40)),
        Cancellable("rand_like", SmallProduct, (in a) => new OpCost(Count(a, 0) * Width(a, a.DType(1)), 0, 8 * Count(a, 0))),
        Row("randint_like", SmallProduct, (in a) => new OpCost(Count(a, 0) * Width(a, a.DType(3)), 0, 4 * Count(a, 0))),
        Cancellable("randn_like", SmallProduct, (in a) => new OpCost(Count(a, 0) * Width(a, a.DType(1)), 0, 20 * Count(a, 0))),
        Cancellable("normal", 0, (in a) => a[0] is Tensor || a[1] is Tensor
            ? new OpCost(BroadcastCount(a) * 8, BroadcastCount(a) * 9, 24 * BroadcastCount(a))
            : Filled(a, a.OptionalInts(2) ?? [], null, work: 20)),
        Row("multinomial", 0, (in a) => new OpCost(8 * Rows(a) * a.Int(1), 2 * Bytes(a, 0), 30 * (Count(a, 0) + Rows(a) * a.Int(1)))),
        // copies of a given number
        Row("repeat tile", 0, (in a) => new OpCost(Bytes(a, 0) * Product(a.Ints(1)), 0, 2 * Count(a, 0) * Product(a.Ints(1)))),
        Row("repeat_interleave", 0, RepeatInterleave),
        Row("pad", 0, Pad),
        Row("cat stack hstack vstack", 0, Concatenation),
        // positions. The kernels of getitem, setitem_, index_put and index_put_ check what their masks and positions select.
        Row("getitem setitem_ index_put_", long.MaxValue, _free),
        Row("index_put", SmallProduct, (in a) => new OpCost(Bytes(a, 0), 0, Count(a, 0))), // beside those checks
        Row("index_select", 0, (in a) => a[0] is Tensor { ndim: > 0 }
            ? Taken(a, CountWithout(a, 0, a.Int(1)) * Count(a, 2)) with { WorkspaceBytes = Bytes(a, 2) } // a contiguous index
            : Taken(a, Count(a, 2))),
        // an expanded index takes a path that copies the argument and the result
        Row("gather", SmallProduct, (in a) => Taken(a, Count(a, 2)) is var cost
            ? cost with { WorkspaceBytes = Bytes(a, 0) + cost.OutputBytes } : default),
        Row("take", SmallProduct, (in a) => Taken(a, Count(a, 1))),
        Row("take_along_dim", SmallProduct, TakenAlong),
        Row("embedding", SmallProduct, (in a) => new OpCost(Count(a, 0) * LastSide(a, 1) * ElementBytes(a, 1), 8 * Count(a, 0),
            2 * Count(a, 0) * LastSide(a, 1))),
        Row("masked_scatter", SmallProduct, (in a) =>
            new OpCost(Bytes(a, 0) + Masked(a) * ElementBytes(a, 0), 9 * Masked(a) + Bytes(a, 2), 12 * Masked(a) + Count(a, 2))),
        Row("masked_scatter_", SmallProduct, (in a) =>
            new OpCost(0, 9 * Count(a, 0) + Bytes(a, 2), 12 * Count(a, 0) + Count(a, 2))),
        Row("index_add index_copy index_fill scatter scatter_add", SmallProduct, (in a) => Scattered(a, copies: true)),
        Row("index_add_ index_copy_ index_fill_ scatter_ scatter_add_", SmallProduct, (in a) => Scattered(a, copies: false)),
        Row("select_scatter slice_scatter", SmallProduct, (in a) => new OpCost(Bytes(a, 0), 0, 2 * Count(a, 0))),
    ];

    private static OpCost Filled(in OpArguments a, long[] shape, ScalarType? type, double work = 1)
    {
        double count = 1;
        foreach (long size in shape) count *= Math.Max(size, 0);
        return new OpCost(count * KernelGuards.ElementSize(type ?? a.Context.DefaultType), 0, work * count);
    }

    private static OpCost Arange(in OpArguments a)
    {
        (double start, double end) = a.Has(1) ? (a.Float(0), a.Float(1)) : (0, a.Float(0));
        double length = Math.Ceiling((end - start) / a.Float(2));
        return double.IsFinite(length) && length > 0 ? new OpCost(length * 8, 0, 2 * length) : default;
    }

    /// <summary>Square matrices with the sides of the last dimension and the offset.</summary>
    private static OpCost Diagonals(in OpArguments a, Tensor self)
    {
        double side = self.shape[^1] + Math.Abs((double)a.Int(1)), batches = CountWithout(a, 0, -1);
        return new OpCost(batches * side * side * self.element_size(), 0, batches * side * side);
    }

    /// <summary>The elements of a tensor and its mask, broadcast together.</summary>
    private static double Masked(in OpArguments a) => a[0] is Tensor self && a[1] is Tensor mask
        && ShapeMath.Broadcast(self.shape, mask.shape) is { } shape ? Product(shape) : Count(a, 0);

    /// <summary>A tensor of counts is summed by the kernel, in int64, which then checks.</summary>
    private static OpCost RepeatInterleave(in OpArguments a)
    {
        if (a[1] is Tensor { ndim: > 0, dtype: not ScalarType.Int64 }) return new OpCost(0, sizeof(long) * Count(a, 1), 2 * Count(a, 1));
        if (a[1] is not long and not Tensor { ndim: 0 } || a[0] is not Tensor self) return default;
        double times = Math.Max(0, a.Float(1)), rows = self.numel();
        if (a.OptionalInt(2) is { } dim && self.ndim > 0) rows = self.shape[KernelGuards.WrapDim("repeat_interleave", dim, self.ndim)];
        return new OpCost(Bytes(a, 0) * times, Bytes(a, 0) + 8 * rows * (times + 2), 4 * Count(a, 0) * times);
    }

    private static double Rows(in OpArguments a) => a[0] is Tensor { ndim: 2 } self ? self.shape[0] : 1;

    private static OpCost Pad(in OpArguments a)
    {
        if (a[0] is not Tensor self) return default;
        long[] pads = a.Ints(1), shape = self.shape;
        double count = 1;
        for (int i = 0; i < shape.Length; i++)
        {
            int at = 2 * (shape.Length - 1 - i);
            count *= Math.Max(0, shape[i] + (at + 1 < pads.Length ? (double)pads[at] + pads[at + 1] : 0));
        }
        return new OpCost(count * self.element_size(), Bytes(a, 0), 2 * count);
    }

    private static OpCost Concatenation(in OpArguments a)
    {
        double count = 0, width = 1;
        if (a[0] is IReadOnlyList<object?> list)
            foreach (object? item in list)
                if (item is Tensor tensor) (count, width) = (count + tensor.numel(), Math.Max(width, tensor.element_size()));
        return new OpCost(count * width, 0, count);
    }

    private static OpCost Taken(in OpArguments a, double count) => new(count * ElementBytes(a, 0), 0, 4 * count);

    /// <summary>The argument and the index broadcast, other than along the dimension.</summary>
    private static OpCost TakenAlong(in OpArguments a)
    {
        // flat copies of both, and of the index another one
        if (!a.Has(2)) return Taken(a, Count(a, 1)) with { WorkspaceBytes = Bytes(a, 0) + 2 * Bytes(a, 1) };
        if (a[0] is not Tensor { ndim: > 0 } self || a[1] is not Tensor index || self.ndim != index.ndim) return default;
        long dim = KernelGuards.WrapDim("take_along_dim", a.Int(2), self.ndim);
        long[] shape = self.shape;
        shape[dim] = index.shape[dim];
        long[] all = ShapeMath.Broadcast(shape, index.shape) ?? [];
        double count = Product(all), copies = Product(ShapeMath.Without(all, dim)) * self.shape[dim] * self.element_size();
        return Taken(a, count) with { WorkspaceBytes = copies + count * (sizeof(long) + self.element_size()) };
    }

    private static OpCost Scattered(in OpArguments a, bool copies)
    {
        double index = Count(a, 2), self = copies ? Bytes(a, 0) : 0;
        bool isScatter = a.Schema.Name.StartsWith("scatter", StringComparison.Ordinal);
        // libtorch scatters halves in a float32 copy; it adds, fills and copies them in place (CostTableTests measures it)
        bool hasFloatCopy = isScatter && a[0] is Tensor { dtype: ScalarType.Float16 or ScalarType.BFloat16 };
        double values = a.Count > 3 ? Math.Max(Count(a, 3), index) : index;
        if (!isScatter && a[0] is Tensor { ndim: > 0 })
            values = Math.Max(values, index * CountWithout(a, 0, a.Int(1)));
        return new OpCost(self, (hasFloatCopy ? sizeof(float) * Count(a, 0) : 0) + values * ElementBytes(a, 0),
            Count(a, 0) * (copies ? 1 : 0) + 10 * values);
    }
}
