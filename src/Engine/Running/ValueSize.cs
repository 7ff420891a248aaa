using TorchSharp;

namespace Ndif.Engine.Running;

/// <summary>Computes the memory of a value.</summary>
internal static class ValueMemory
{
    private const long SmallTensorBytes = 1 << 20;

    public static long BytesOf(object? value) => value switch
    {
        torch.Tensor tensor => BytesOf(tensor),
        string => 0,
        IEnumerable<KeyValuePair<string, object?>> map => map.Sum(entry => BytesOf(entry.Value)),
        IEnumerable<object?> items => items.Sum(BytesOf),
        _ => 0,
    };

    private static long BytesOf(torch.Tensor tensor)
    {
        if (tensor.device_type is DeviceType.META) return 0;
        long element = tensor.element_size(), bytes = tensor.numel() * element;
        if (bytes < SmallTensorBytes) return bytes;
        long last = 0; // the offset of the last element: an expanded tensor has less memory than its shape suggests
        long[] shape = tensor.shape, stride = tensor.stride();
        for (int dim = 0; dim < shape.Length; dim++) last += (shape[dim] - 1) * stride[dim];
        return Math.Min(bytes, (last + 1) * element);
    }
}
