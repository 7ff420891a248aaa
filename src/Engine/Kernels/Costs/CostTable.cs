using System.Collections.Frozen;
using Ndif.Protocol;
using TorchSharp;
using static TorchSharp.torch;
using Tensor = TorchSharp.torch.Tensor;

namespace Ndif.Engine.Kernels.Costs;

/// <summary>
/// What each operation of the op table takes at most: memory and time as functions of the shapes, element types and numbers that it is
/// called with. A test checks that every operation has a row. An expanded argument costs as its shape, because an operation that copies
/// it makes all of its elements.
/// </summary>
/// <remarks>
/// The rows are by what the costs depend on: CostTable.Elements.cs, CostTable.Reductions.cs, CostTable.Matrices.cs, CostTable.Sizes.cs.
/// Operations whose result depends on the elements (nonzero, masks, bincount) have their check in the kernel, after the elements were
/// counted (<see cref="KernelGuards.Allocate"/>).
/// </remarks>
internal static partial class CostTable
{
    /// <summary>A product of element counts that is always cheap where the cost is proportional to it.</summary>
    private const long SmallProduct = 1 << 20;

    /// <summary>The same for operations on matrices and on pairs of rows.</summary>
    private const long SmallMatrix = 1 << 12;

    /// <summary>The same for factors that are square with the longer side of a matrix.</summary>
    private const long SmallSide = 1 << 6;

    /// <summary>How much slower a product is that is computed element by element, at least.</summary>
    internal const double SlowProduct = 40;

    private static readonly CostRule _free = (in a) => default;

    public static FrozenDictionary<string, CostEntry> Entries { get; } =
        new[] { ElementRows(), ReductionRows(), MatrixRows(), SizeRows() }.SelectMany(rows => rows)
            .SelectMany(row => row.Names.Split(' ', StringSplitOptions.RemoveEmptyEntries).Select(name => (name, row.Entry)))
            .ToFrozenDictionary(row => row.name, row => row.Entry);

    /// <summary>Whether the result of an operation never has memory of its own.</summary>
    public static bool IsFree(string op) => Entries[op].SkipBelow == long.MaxValue && Entries[op].Rule == _free;

    private static (string Names, CostEntry Entry) Row(string names, long skipBelow, CostRule rule, SplitRule? split = null) =>
        (names, new CostEntry(rule, skipBelow, split));

    /// <summary>An operation whose kernel looks at the cancellation.</summary>
    private static (string Names, CostEntry Entry) Cancellable(string names, long skipBelow, CostRule rule) =>
        (names, new CostEntry(rule, skipBelow, IsCancellable: true));

    /// <summary>The elements of an argument; 1 for a number.</summary>
    private static double Count(in OpArguments a, int position) => a[position] is Tensor tensor ? tensor.numel() : 1;

    /// <summary>The bytes of the elements of an argument's shape.</summary>
    private static double Bytes(in OpArguments a, int position) =>
        a[position] is Tensor tensor ? (double)tensor.numel() * tensor.element_size() : sizeof(double);

    private static double ElementBytes(in OpArguments a, int position) =>
        a[position] is Tensor tensor ? tensor.element_size() : sizeof(double);

    /// <summary>The shape to which all tensors among the arguments broadcast; null if they do not.</summary>
    internal static long[]? BroadcastShape(in OpArguments a)
    {
        long[]? shape = [];
        for (int i = 0; i < a.Count; i++)
            if (a[i] is Tensor tensor && (shape = ShapeMath.Broadcast(shape, tensor.shape)) is null) return null;
        return shape;
    }

    /// <exception cref="NdifException">SHAPE_MISMATCH: some kernels allocate before they report it.</exception>
    private static double BroadcastCount(in OpArguments a)
    {
        if (BroadcastShape(a) is { } shape) return Product(shape);
        List<string> shapes = [];
        for (int i = 0; i < a.Count; i++)
            if (a[i] is Tensor tensor) shapes.Add(Describe.Shape(tensor));
        throw Errors.CreateException(ErrorCode.ShapeMismatch, $"{a.Schema.Name}: the shapes {string.Join(", ", shapes)} do not broadcast");
    }

    /// <summary>
    /// The elements of an argument's shape without some of its dimensions, exactly: the quotient of the element counts says nothing where
    /// one of them is 0.
    /// </summary>
    /// <param name="dims">The dimensions, which may be counted from the back.</param>
    private static double CountWithout(in OpArguments a, int position, params ReadOnlySpan<long> dims)
    {
        if (a[position] is not Tensor { ndim: > 0 } tensor) return 1;
        var wrapped = new long[dims.Length];
        for (int i = 0; i < wrapped.Length; i++) wrapped[i] = KernelGuards.WrapDim(a.Schema.Name, dims[i], tensor.ndim);
        return Product(ShapeMath.Without(tensor.shape, wrapped));
    }

    private static double Product(ReadOnlySpan<long> sizes)
    {
        double product = 1;
        foreach (long size in sizes) product *= size;
        return product;
    }

    /// <summary>
    /// The bytes of an element of the result of an operation that promotes types: the widest argument, at least float32.
    /// </summary>
    private static double PromotedBytes(in OpArguments a)
    {
        double bytes = WidensBools(a) ? sizeof(long) : sizeof(float);
        for (int i = 0; i < a.Count; i++)
            if (a[i] is Tensor tensor) bytes = Math.Max(bytes, tensor.element_size());
        return bytes;
    }

    /// <summary>Whether an integer among the arguments makes int64 of bools.</summary>
    private static bool WidensBools(in OpArguments a)
    {
        bool hasInteger = false;
        for (int i = 0; i < a.Count; i++)
        {
            if (a[i] is Tensor { dtype: not ScalarType.Bool }) return false;
            hasInteger |= a[i] is long;
        }
        return hasInteger;
    }

    /// <summary>How much slower arithmetic on an element type is than on float32.</summary>
    private static double TypeFactor(Tensor tensor) => tensor.dtype switch
    {
        ScalarType.Float16 or ScalarType.BFloat16 => 2,
        ScalarType.Float64 or ScalarType.ComplexFloat32 => 2,
        ScalarType.ComplexFloat64 => 4,
        _ => 1,
    };

    /// <summary>
    /// The same for products of matrices. libtorch has no fast product of integers, and one of halves only with instructions for them.
    /// </summary>
    internal static double ProductFactor(Tensor tensor) => (tensor.dtype, tensor.device_type == DeviceType.CPU) switch
    {
        (ScalarType.Float32, _) => 1,
        (ScalarType.Float64, true) => 2,
        (ScalarType.Float64, false) => 16,
        (ScalarType.Float16 or ScalarType.BFloat16, true) => Throughput.ProductFactor(tensor.dtype),
        (ScalarType.Float16 or ScalarType.BFloat16, false) => 0.5,
        (ScalarType.ComplexFloat32, _) => 4,
        (ScalarType.ComplexFloat64, _) => 8,
        _ => SlowProduct,
    };

    /// <summary>The bytes of the copy that a matrix routine makes of an argument that is neither contiguous nor transposed.</summary>
    private static double CopyBytes(Tensor tensor)
    {
        if (tensor.is_contiguous()) return 0;
        if (tensor.ndim >= 2)
        {
            using Tensor transposed = tensor.transpose(-2, -1);
            if (transposed.is_contiguous()) return 0;
        }
        return DenseBytes(tensor);
    }

    /// <summary>The bytes of a contiguous copy of a tensor; 0 if it is contiguous.</summary>
    private static double DenseBytes(Tensor tensor) => tensor.is_contiguous() ? 0 : (double)tensor.numel() * tensor.element_size();
}
