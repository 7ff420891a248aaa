using Ndif.Protocol;
using TorchSharp;
using static TorchSharp.torch;
using Tensor = TorchSharp.torch.Tensor;

namespace Ndif.Engine.Kernels;

/// <summary>Converts nested lists of numbers to tensors, and back.</summary>
internal static class NestedLists
{
    /// <summary>
    /// Converts like <c>torch.tensor</c>: a number, a nested list of numbers, or a list of tensors of one shape, whose graph is kept.
    /// </summary>
    public static Tensor ToTensor(object? data, ScalarType? dtype, Device device, KernelContext context, string op)
    {
        switch (data)
        {
            case Tensor tensor:
                return tensor.to(dtype ?? tensor.dtype, device, copy: true);
            case Array array and not object?[]:
                return ToTensor(array.Cast<object?>().ToList(), dtype, device, context, op);
        }
        if (data is IReadOnlyList<object?> { Count: > 0 } list && ContainsTensor(list))
        {
            double bytes = BytesOf(list, dtype);
            context.Limits?.RequireMemory($"{op}()", bytes, bytes); // the parts, and all of them
            Tensor[] parts = [.. list.Select(item => ToTensor(item, dtype, device, context, op))];
            if (parts.Any(p => !p.shape.SequenceEqual(parts[0].shape)))
                throw Errors.CreateException(ErrorCode.ShapeMismatch,
                    $"{op}(): a tensor needs parts of one shape, but they are {string.Join(", ", parts.Take(8).Select(Describe.Shape))}.");
            KernelGuards.Size(op, ShapeMath.ElementCount([parts.Length, .. parts[0].shape]), parts[0].element_size(), context);
            return stack(parts);
        }
        List<long> shape = [];
        for (object? level = data; level is IReadOnlyList<object?> items; level = items.Count > 0 ? items[0] : null) shape.Add(items.Count);
        List<object> numbers = [];
        Flatten(data, 0);
        ScalarType type = dtype ?? (numbers.Count == 0 || numbers.Exists(n => n is double) ? context.DefaultType
            : numbers.Exists(n => n is long) ? ScalarType.Int64 : ScalarType.Bool);
        // long and double represent every number exactly, and one conversion gives the element type
        Tensor flat = numbers.Exists(n => n is double)
            ? tensor([.. numbers.Select(Numbers.ToDouble)], ScalarType.Float64)
            : tensor([.. numbers.Select(Numbers.ToLong)], ScalarType.Int64);
        return flat.reshape([.. shape]).to(type, device);

        void Flatten(object? value, int depth)
        {
            if (value is IReadOnlyList<object?> items)
            {
                if (depth >= shape.Count || items.Count != shape[depth])
                    throw Errors.CreateException(ErrorCode.ShapeMismatch, $"{op}(): the nested lists have different lengths.");
                foreach (object? item in items) Flatten(item, depth + 1);
            }
            else if (depth == shape.Count && Numbers.Is(value)) numbers.Add(Numbers.From(value, op)!);
            else if (depth == shape.Count)
                throw Errors.CreateException(ErrorCode.BadArgument, $"{op}(): a tensor is made of numbers, not of {Describe.Kind(value)}.");
            else throw Errors.CreateException(ErrorCode.ShapeMismatch, $"{op}(): the nested lists have different depths.");
        }
    }

    /// <summary>Converts like <c>Tensor.tolist</c>.</summary>
    public static object? ToList(Tensor tensor, string op, KernelContext context)
    {
        KernelGuards.HasData(tensor, op);
        KernelGuards.ListLength(op, tensor.numel(), context);
        object[] numbers = tensor.dtype == ScalarType.Bool ? [.. tensor.cpu().contiguous().data<bool>().ToArray().Select(b => (object)b)]
            : Numbers.IsInteger(tensor) ? [.. tensor.to(ScalarType.Int64).cpu().contiguous().data<long>().ToArray().Select(n => (object)n)]
            : [.. tensor.to(ScalarType.Float64).cpu().contiguous().data<double>().ToArray().Select(n => (object)n)];
        long[] shape = tensor.shape;
        int next = 0;
        return Level(0);

        object? Level(int depth)
        {
            if (depth == shape.Length) return numbers[next++];
            List<object?> list = [];
            for (long i = 0; i < shape[depth]; i++) list.Add(Level(depth + 1));
            return list;
        }
    }

    /// <summary>The bytes of the elements of the tensors in a nested list.</summary>
    private static double BytesOf(object? value, ScalarType? dtype) => value switch
    {
        Tensor tensor => (double)tensor.numel() * (dtype is { } type ? KernelGuards.ElementSize(type) : tensor.element_size()),
        IReadOnlyList<object?> list => list.Sum(item => BytesOf(item, dtype)),
        _ => 0,
    };

    private static bool ContainsTensor(IReadOnlyList<object?> list) =>
        list.Any(item => item is Tensor || (item is IReadOnlyList<object?> inner && ContainsTensor(inner)));
}
