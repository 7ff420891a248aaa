using TorchSharp;

namespace Ndif.Engine.Running;

/// <summary>Computes the memory of a value.</summary>
internal static class ValueMemory
{
    private const long SmallTensorBytes = 1 << 20;

    /// <summary>
    /// What a value takes that is no tensor, and its place in a list: a program can fill a list with numbers for as long as it may run.
    /// </summary>
    private const long ItemBytes = 32;

    /// <summary>What the handles of a tensor take.</summary>
    private const long HandleBytes = 256;

    public static long BytesOf(object? value) => value switch
    {
        torch.Tensor tensor => BytesOf(tensor),
        Gradients.ProgramOptimizer optimizer => optimizer.MaxBytes,
        string text => ItemBytes + 2L * text.Length,
        IEnumerable<KeyValuePair<string, object?>> map => ItemBytes + map.Sum(entry => BytesOf(entry.Value)),
        IEnumerable<object?> items => ItemBytes + items.Sum(BytesOf),
        _ => ItemBytes,
    };

    /// <summary>The bytes of a copy of a value: an expanded tensor is copied with all of its elements.</summary>
    public static double ShapeBytesOf(object? value) => Sum(value, ShapeBytes);

    /// <summary>The bytes of the copies that are needed to read the elements of a value in their order.</summary>
    public static double CopyBytesOf(object? value) =>
        Sum(value, tensor => ShapeBytes(tensor) is >= SmallTensorBytes and var bytes && !tensor.is_contiguous() ? bytes : 0);

    private static double ShapeBytes(torch.Tensor tensor) =>
        tensor.device_type is DeviceType.META ? 0 : (double)tensor.numel() * tensor.element_size();

    private static double Sum(object? value, Func<torch.Tensor, double> bytes) => value switch
    {
        torch.Tensor tensor => bytes(tensor),
        string => 0,
        IEnumerable<KeyValuePair<string, object?>> map => map.Sum(entry => Sum(entry.Value, bytes)),
        IEnumerable<object?> items => items.Sum(item => Sum(item, bytes)),
        _ => 0,
    };

    private static long BytesOf(torch.Tensor tensor)
    {
        if (tensor.device_type is DeviceType.META) return HandleBytes;
        long element = tensor.element_size(), bytes = tensor.numel() * element;
        if (bytes < SmallTensorBytes) return HandleBytes + bytes;
        long last = 0; // the offset of the last element: an expanded tensor has less memory than its shape suggests
        long[] shape = tensor.shape, stride = tensor.stride();
        for (int dim = 0; dim < shape.Length; dim++) last += (shape[dim] - 1) * stride[dim];
        return HandleBytes + Math.Min(bytes, (last + 1) * element);
    }
}
