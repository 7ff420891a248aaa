using Ndif.Models;
using Ndif.Protocol;
using TorchSharp;
using static TorchSharp.torch;
using Tensor = TorchSharp.torch.Tensor;

namespace Ndif.Engine.Kernels;

/// <summary>
/// The checks before a native call. Entry points of TorchSharp's library without a try/catch end the process on a c10::Error, an integer
/// division by -1 can trap, and an allocation can exhaust the memory of the machine before it fails.
/// </summary>
internal static class KernelGuards
{
    /// <summary>Checks that sizes are not negative and that the tensor is not larger than the run permits.</summary>
    public static long[] Size(string op, long[] shape, ScalarType type, KernelContext context)
    {
        foreach (long size in shape)
            if (size < 0)
                throw Errors.CreateException(ErrorCode.BadArgument,
                    $"{op}(): trying to create a tensor with negative dimension {size}: {Describe.Shape(shape)}.");
        // a tensor without elements is checked too: the strides of [0, 2^63 - 1, 3] overflow, which ends the process in libtorch's
        // random functions
        Size(op, ShapeMath.ElementCountOfNonempty(shape), ElementSize(type), context);
        return shape;
    }

    public static void Size(string op, long elements, long elementBytes, KernelContext context)
    {
        if (ShapeMath.SaturatingMultiply(elements, elementBytes) > context.MaxTensorBytes)
            throw Errors.CreateException(ErrorCode.LimitExceeded,
                $"{op}(): a result of {(elements == long.MaxValue ? "too many" : elements)} elements is larger than the "
                + $"{context.MaxTensorBytes} bytes a tensor may take in this run.");
    }

    public static void ListLength(string op, long count, KernelContext context)
    {
        if (count > context.MaxListItems)
            throw Errors.CreateException(ErrorCode.LimitExceeded,
                $"{op}(): a list of {count} items is longer than the {context.MaxListItems} a list may have in this run.");
    }

    /// <summary>Checks that a tensor has elements: a tensor of a scan has only a shape.</summary>
    public static void HasData(Tensor tensor, string op)
    {
        if (IsMeta(tensor))
            throw Errors.CreateException(ErrorCode.Unsupported,
                $"{op}(): a scan knows shapes only, and this needs the elements of a tensor of shape {Describe.Shape(tensor)}.",
                "Run the trace, or leave this part out of the scan.");
    }

    public static bool IsMeta(Tensor tensor) => tensor.device_type == DeviceType.META;

    /// <summary>Converts a dimension to one that is counted from the front.</summary>
    /// <exception cref="IndexOutOfRangeException">With PyTorch's message.</exception>
    public static long WrapDim(string op, long dim, long rank)
    {
        long limit = Math.Max(rank, 1);
        if (dim < -limit || dim >= limit)
            throw Errors.CreateException(ErrorCode.IndexOutOfRange,
                $"Dimension out of range (expected to be in range of [{-limit}, {limit - 1}], but got {dim}) in {op}()");
        return dim < 0 ? dim + limit : dim;
    }

    /// <summary>Checks the conditions of at::matmul (aten/src/ATen/native/LinearAlgebra.cpp) and the size of its result.</summary>
    public static void Matmul(string op, Tensor left, Tensor right, KernelContext context)
    {
        long[] a = left.shape, b = right.shape;
        if (a.Length == 0 || b.Length == 0)
            throw Errors.CreateException(ErrorCode.ShapeMismatch,
                $"{op}: both arguments need at least 1 dimension, but they are {Describe.Shape(a)} and {Describe.Shape(b)}");
        long leftDim = a[^1], rightDim = b.Length == 1 ? b[0] : b[^2];
        if (leftDim != rightDim)
            throw Errors.CreateException(ErrorCode.ShapeMismatch,
                $"{op}: shapes {Describe.Shape(a)} and {Describe.Shape(b)} cannot be multiplied ({leftDim} and {rightDim} differ)");
        long[] batch = ShapeMath.Broadcast(a.AsSpan(0, Math.Max(0, a.Length - 2)), b.AsSpan(0, Math.Max(0, b.Length - 2)))
            ?? throw Errors.CreateException(ErrorCode.ShapeMismatch,
                $"{op}: the batch dimensions of {Describe.Shape(a)} and {Describe.Shape(b)} do not broadcast");
        SameTypeAndDevice(op, left, right);
        Size(op, ShapeMath.ElementCount([.. batch, a.Length > 1 ? a[^2] : 1, b.Length > 1 ? b[^1] : 1]), left.element_size(), context);
        // libtorch expands batches that broadcast before it multiplies them
        if (batch.Length > 0)
        {
            Size(op, ShapeMath.ElementCount([.. batch, .. a.AsSpan(Math.Max(0, a.Length - 2))]), left.element_size(), context);
            Size(op, ShapeMath.ElementCount([.. batch, .. b.AsSpan(Math.Max(0, b.Length - 2))]), left.element_size(), context);
        }
    }

    public static void SameTypeAndDevice(string op, Tensor left, Tensor right)
    {
        if (left.dtype != right.dtype)
            throw Errors.CreateException(ErrorCode.BadArgument,
                $"{op}: the element types differ: {Describe.TypeName(left.dtype)} and {Describe.TypeName(right.dtype)}.",
                $"Convert one of them, as with `.to({Describe.TypeName(left.dtype)})`.");
        if (left.device_type != right.device_type || left.device_index != right.device_index)
            throw Errors.CreateException(ErrorCode.BadArgument,
                $"{op}: the tensors are on different devices: {left.device} and {right.device}.");
    }

    /// <summary>Checks for the smallest integer divided by -1, which overflows and makes the processor trap (SIGFPE).</summary>
    public static void IntegerDivision(string op, object left, object right)
    {
        // int8 and int16 are divided as int32, and uint8 has no sign
        if (left is not Tensor { dtype: ScalarType.Int64 or ScalarType.Int32 } dividend || IsMeta(dividend)) return;
        bool traps = right switch
        {
            long number => number == -1,
            Tensor divisor => Numbers.IsInteger(divisor) && !IsMeta(divisor) && divisor.eq(-1).any().item<bool>(),
            _ => false,
        };
        if (!traps) return;
        if (dividend.eq(dividend.dtype == ScalarType.Int64 ? long.MinValue : int.MinValue).any().item<bool>())
            throw Errors.CreateException(ErrorCode.OpFailed, $"{op}: the smallest integer divided by -1 does not fit its type.");
    }

    /// <summary>Operations whose arguments are not broadcast against each other, though their shapes may allow it.</summary>
    private static readonly HashSet<string> _withoutBroadcast =
        ["matmul", "mm", "bmm", "index_select", "embedding", "searchsorted", "bucketize", "isin"];

    /// <summary>
    /// Checks the size of a broadcast: [a, 1] and [1, b] give a · b elements. The shapes are computed only if the product of the
    /// element counts is near the limit. Empty dimensions count as 1, because a reduction or a product over them has elements.
    /// </summary>
    /// <returns>The product of the element counts.</returns>
    /// <exception cref="NdifException">
    /// LIMIT_EXCEEDED, also for an argument without elements whose other dimensions are larger than a tensor may be.
    /// </exception>
    public static long Broadcast(string op, object?[] bound, KernelContext context)
    {
        long product = 1;
        int tensors = 0;
        foreach (object? value in bound)
        {
            if (value is not Tensor tensor) continue;
            tensors++;
            long elements = tensor.numel();
            if (elements == 0)
                Size(op, elements = ShapeMath.ElementCountOfNonempty(tensor.shape), tensor.element_size(), context);
            product = ShapeMath.SaturatingMultiply(product, elements);
        }
        if (tensors < 2 || product <= context.MaxTensorBytes / 8 || _withoutBroadcast.Contains(op)) return product;
        long[]? shape = [];
        long largest = 0, bytes = 1;
        foreach (object? value in bound)
        {
            if (value is not Tensor tensor) continue;
            shape = ShapeMath.Broadcast(shape, tensor.shape);
            if (shape is null) return product;
            largest = Math.Max(largest, ShapeMath.ElementCountOfNonempty(tensor.shape));
            bytes = Math.Max(bytes, tensor.element_size());
        }
        if (ShapeMath.ElementCountOfNonempty(shape) is var count && count > largest) Size(op, count, bytes, context);
        return product;
    }

    /// <summary>
    /// Checks the memory of a result whose size depends on the elements of an argument, after they were counted and before it is
    /// allocated.
    /// </summary>
    /// <exception cref="NdifException">LIMIT_EXCEEDED or OUT_OF_MEMORY.</exception>
    public static void Allocate(string op, long elements, long elementBytes, KernelContext context, long workspaceBytes = 0)
    {
        Size(op, elements, elementBytes, context);
        context.Limits?.RequireMemory($"{op}()", ShapeMath.SaturatingMultiply(elements, elementBytes), workspaceBytes);
    }

    /// <summary>
    /// Counts the elements that are not zero, in parts between which the job can be cancelled: an expanded tensor has more of them than
    /// memory.
    /// </summary>
    public static long CountNonzero(Tensor tensor, KernelContext context)
    {
        const long PartElements = 1 << 24;
        using var noGraph = no_grad();
        long[] shape = tensor.shape;
        int dim = Array.FindIndex(shape, size => size > 1);
        if (dim < 0 || tensor.numel() <= PartElements) return Count(tensor);
        long total = 0, rows = Math.Max(1, PartElements / (tensor.numel() / shape[dim]));
        for (long start = 0; start < shape[dim]; start += rows)
        {
            context.Limits?.BetweenParts();
            using Tensor part = tensor.narrow(dim, start, Math.Min(rows, shape[dim] - start));
            total += CountNonzero(part, context);
        }
        return total;

        static long Count(Tensor part)
        {
            using Tensor count = part.count_nonzero();
            return count.item<long>();
        }
    }

    public static long ElementSize(ScalarType type) => type.ToData()?.ItemSize() ?? 1;
}
