using Ndif.Protocol;
using Ndif.Protocol.Ops;
using TorchSharp;
using static TorchSharp.torch;
using Tensor = TorchSharp.torch.Tensor;

namespace Ndif.Engine.Kernels;

internal static partial class KernelTable
{
    private static Dictionary<string, Kernel> CreationKernels() => new()
    {
        ["zeros"] = (in a) => zeros(CheckedSize(a, 0, 1), DTypeOrDefault(a, 1), a.Device(2)),
        ["ones"] = (in a) => ones(CheckedSize(a, 0, 1), DTypeOrDefault(a, 1), a.Device(2)),
        ["full"] =
        (in a) =>
        full(KernelGuards.Size("full", a.Ints(0), DTypeOrInferred(a, 1, 2), a.Context), a.Scalar(1), DTypeOrInferred(a, 1, 2), a.Device(3)),
        ["arange"] = (in a) => Arange(a),
        ["linspace"] = (in a) => linspace(a.Float(0), a.Float(1), StepCount(a, 2, 3), DTypeOrDefault(a, 3), a.Device(4)),
        ["logspace"] = (in a) => logspace(a.Float(0), a.Float(1), StepCount(a, 2, 4), a.Float(3), DTypeOrDefault(a, 4), a.Device(5)),
        ["eye"] = (in a) => Eye(a),
        ["tensor"] = (in a) => NestedLists.ToTensor(a[0], a.DType(1), a.Device(2), a.Context, "tensor"),
        ["zeros_like"] = (in a) => zeros(CheckedSize(a, 0), a.DType(1) ?? a.Tensor(0).dtype, a.Tensor(0).device),
        ["ones_like"] = (in a) => ones(CheckedSize(a, 0), a.DType(1) ?? a.Tensor(0).dtype, a.Tensor(0).device),
        ["full_like"] = (in a) => full(CheckedSize(a, 0), a.Scalar(1), a.DType(2) ?? a.Tensor(0).dtype, a.Tensor(0).device),
        ["new_zeros"] = (in a) => zeros(CheckedSize(a, 1), a.DType(2) ?? a.Tensor(0).dtype, a.Tensor(0).device),
        ["new_ones"] = (in a) => ones(CheckedSize(a, 1), a.DType(2) ?? a.Tensor(0).dtype, a.Tensor(0).device),
        ["new_full"] = (in a) => full(CheckedSize(a, 1), a.Scalar(2), a.DType(3) ?? a.Tensor(0).dtype, a.Tensor(0).device),
        ["one_hot"] = (in a) => OneHot(a),
        ["tril"] = (in a) => a.Tensor(0).tril(a.Int(1)),
        ["triu"] = (in a) => a.Tensor(0).triu(a.Int(1)),
        ["tril_indices"] = (in a) => tril_indices(MatrixSide(a, 0), MatrixSide(a, 1), a.Int(2)).to(a.Context.Device),
        ["triu_indices"] = (in a) => triu_indices(MatrixSide(a, 0), MatrixSide(a, 1), a.Int(2)).to(a.Context.Device),
        ["diag"] = (in a) => CheckDiagonal(a, 0, 1).diag(a.Int(1)),
        ["diag_embed"] = (in a) => CheckDiagonal(a, 0, 1).diag_embed(a.Int(1), a.Int(2), a.Int(3)),
        ["meshgrid"] = (in a) => Meshgrid(a),
    };

    private static ScalarType DTypeOrDefault(in OpArguments a, int position) => a.DType(position) ?? a.Context.DefaultType;

    /// <summary>Without a dtype it is inferred from the number: int64 for 1, the default type for 1.0, bool for True.</summary>
    private static ScalarType DTypeOrInferred(in OpArguments a, int number, int dtype) => a.DType(dtype) ?? a.Number(number) switch
    {
        double => a.Context.DefaultType,
        bool => ScalarType.Bool,
        _ => ScalarType.Int64,
    };

    private static long[] CheckedSize(in OpArguments a, int size, int dtype) =>
        KernelGuards.Size(a.Schema.Name, a.Ints(size), DTypeOrDefault(a, dtype), a.Context);

    /// <summary>A given shape, or that of a tensor, checked as a tensor of float32.</summary>
    private static long[] CheckedSize(in OpArguments a, int size) =>
        KernelGuards.Size(a.Schema.Name, a[size] is Tensor tensor && a.Schema.Parameters[size].Type == OpType.Tensor ? tensor.shape
            : a.Ints(size), ScalarType.Float32, a.Context);

    private static long StepCount(in OpArguments a, int position, int dtype) =>
        KernelGuards.Size(a.Schema.Name, [a.Int(position)], DTypeOrDefault(a, dtype), a.Context)[0];

    private static Tensor Arange(in OpArguments a)
    {
        (object start, object end) = a.Has(1) ? (a.Number(0), a.Number(1)) : (0L, a.Number(0));
        object step = a.Number(2);
        double length = Math.Ceiling((Numbers.ToDouble(end) - Numbers.ToDouble(start)) / Numbers.ToDouble(step));
        if (!double.IsFinite(length) || length < 0)
            throw Errors.CreateException(ErrorCode.BadArgument, $"arange(): steps of {step} do not lead from {start} to {end}.");
        ScalarType type = a.DType(3) ?? (start is double || end is double || step is double ? a.Context.DefaultType : ScalarType.Int64);
        if (!is_floating_point(type) && Math.Abs(Numbers.ToDouble(step)) < 1)
            // libtorch would divide by it (SIGFPE)
            throw Errors.CreateException(ErrorCode.BadArgument, $"arange(): the step {step} is 0 in {Describe.TypeName(type)}.");
        KernelGuards.Size("arange", length > long.MaxValue / 2 ? long.MaxValue : (long)length, KernelGuards.ElementSize(type), a.Context);
        return arange(Numbers.ToScalar(start), Numbers.ToScalar(end), Numbers.ToScalar(step), type, a.Device(4));
    }

    private static Tensor Eye(in OpArguments a)
    {
        long[] shape = KernelGuards.Size("eye", [a.Int(0), a.OptionalInt(1) ?? a.Int(0)], DTypeOrDefault(a, 2), a.Context);
        return eye(shape[0], shape[1], DTypeOrDefault(a, 2), a.Device(3));
    }

    private static Tensor OneHot(in OpArguments a)
    {
        Tensor self = a.Tensor(0);
        long classes = a.Int(1);
        if (classes < 0)
        {
            KernelGuards.HasData(self, "one_hot");
            if (self.numel() == 0)
                throw Errors.CreateException(ErrorCode.BadArgument, "one_hot(): the number of classes of an empty tensor must be given.");
            classes = self.max().to(ScalarType.Int64).item<long>() + 1;
        }
        KernelGuards.Allocate("one_hot", ShapeMath.SaturatingMultiply(self.numel(), Math.Max(classes, 0)), sizeof(long), a.Context);
        if (KernelGuards.IsMeta(self)) return zeros([.. self.shape, classes], ScalarType.Int64, self.device);
        return nn.functional.one_hot(self, classes);
    }

    /// <summary>One side of a matrix, of which the result has an index pair for up to every element.</summary>
    private static long MatrixSide(in OpArguments a, int position)
    {
        if (a.Int(0) < 0 || a.Int(1) < 0)
            throw Errors.CreateException(ErrorCode.BadArgument, $"{a.Schema.Name}(): the sides must not be negative.");
        KernelGuards.Size(a.Schema.Name, ShapeMath.SaturatingMultiply(a.Int(0), a.Int(1)), 2 * sizeof(long), a.Context);
        return a.Int(position);
    }

    /// <summary>Checks the result of diag and diag_embed, whose sides are the last dimension plus the offset.</summary>
    private static Tensor CheckDiagonal(in OpArguments a, int position, int offset)
    {
        Tensor self = a.Tensor(position);
        if (self.ndim == 0)
            throw Errors.CreateException(ErrorCode.ShapeMismatch, $"{a.Schema.Name}(): a tensor of no dimensions has no diagonal.");
        if (self.ndim == 1 || a.Schema.Name == "diag_embed")
        {
            long distance = a.Int(offset) is > -(1L << 40) and < 1L << 40 and long near ? Math.Abs(near) : 1L << 40;
            long side = self.shape[^1] + distance;
            KernelGuards.Size(a.Schema.Name,
                ShapeMath.SaturatingMultiply(ShapeMath.ElementCount(self.shape.AsSpan(0, (int)self.ndim - 1)),
                    ShapeMath.SaturatingMultiply(side, side)), self.element_size(), a.Context);
        }
        return self;
    }

    private static List<object?> Meshgrid(in OpArguments a)
    {
        Tensor[] tensors = a.Tensors(0);
        // libtorch's message would contain all elements
        if (Array.Find(tensors, t => t.ndim > 1) is { } wrong)
            throw Errors.CreateException(ErrorCode.ShapeMismatch,
                $"meshgrid(): expected tensors of at most one dimension, but one has the shape {Describe.Shape(wrong)}.");
        KernelGuards.Size("meshgrid", ShapeMath.ElementCountOfNonempty([.. tensors.Select(t => t.numel())]), sizeof(long), a.Context);
        return ListOf(meshgrid(tensors, a.Choice(1, ("ij", "ij"), ("xy", "xy"))));
    }
}
