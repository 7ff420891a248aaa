using System.Collections.Frozen;
using Ndif.Engine.Kernels.Costs;
using Ndif.Engine.Running;
using Ndif.Protocol;
using Ndif.Protocol.Ops;
using TorchSharp;

namespace Ndif.Engine.Kernels;

/// <summary>
/// The kernel of each operation in the op table, one line each. A test checks that the two tables have the same operations.
/// </summary>
/// <remarks>The files correspond to those of the op table: the kernels of Shapes.ops are in KernelTable.Shapes.cs.</remarks>
internal static partial class KernelTable
{
    public static FrozenDictionary<string, Kernel> Kernels { get; } =
        new[]
        {
            CreationKernels(), ArithmeticKernels(), InPlaceKernels(), ComparisonKernels(), ReductionKernels(),
            SortingKernels(), ShapeKernels(), IndexingKernels(), LinearAlgebraKernels(), NetworkKernels(), TypeKernels(), SamplingKernels(),
        }.SelectMany(group => group).ToFrozenDictionary();

    /// <summary>
    /// Computes one operation on bound arguments (<see cref="ArgumentBinder"/>): tensors, numbers (long, double, bool), strings, lists
    /// (<c>List&lt;object?&gt;</c>), tuples (<c>object?[]</c>), dictionaries, <see cref="SliceValue"/>, <see cref="EllipsisValue"/>,
    /// element types, devices and None (null). Call it inside a dispose scope and keep the result.
    /// </summary>
    /// <returns>
    /// New tensors, except that an in-place operation returns its first argument itself, and <c>getitem</c> on a list, tuple or
    /// dictionary returns the item itself.
    /// </returns>
    /// <exception cref="NdifException">
    /// Every failure: INDEX_OUT_OF_RANGE (as an <see cref="IndexOutOfRangeException"/>), SHAPE_MISMATCH, BAD_ARGUMENT, LIMIT_EXCEEDED,
    /// UNSUPPORTED (in a scan), OUT_OF_MEMORY or OP_FAILED.
    /// </exception>
    public static object? Run(OpSchema schema, object?[] bound, KernelContext context)
    {
        var arguments = new OpArguments(schema, bound, context);
        try
        {
            long product = KernelGuards.Broadcast(schema.Name, bound, context);
            object? result = MetaKernels.Find(schema, bound, context) is { } shapes ? shapes(arguments)
                : context.Limits is null || context.Device.type == DeviceType.META ? Kernels[schema.Name](arguments)
                : BoundedOperation.Run(Kernels[schema.Name], arguments, product);
            return schema.InPlace ? bound[0] : result;
        }
        catch (Exception e) when (!LibtorchErrors.IsTyped(e))
        {
            throw KernelErrorTranslator.Translate(e, schema, bound);
        }
    }

    /// <summary>A tuple of tensors.</summary>
    private static object?[] Tuple(params ReadOnlySpan<torch.Tensor> tensors)
    {
        var items = new object?[tensors.Length];
        for (int i = 0; i < items.Length; i++) items[i] = tensors[i];
        return items;
    }

    private static object?[] Tuple((torch.Tensor First, torch.Tensor Second) pair) => [pair.First, pair.Second];

    private static List<object?> ListOf(torch.Tensor[] tensors) => [.. tensors];
}
