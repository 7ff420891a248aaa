using TorchSharp;

namespace Ndif.Engine.Running;

/// <summary>How many bytes a value has.</summary>
internal static class ValueSize
{
    private const long Small = 1 << 20;

    public static long Of(object? value) => value switch
    {
        torch.Tensor tensor => Of(tensor),
        string => 0,
        IEnumerable<KeyValuePair<string, object?>> map => map.Sum(entry => Of(entry.Value)),
        IEnumerable<object?> items => items.Sum(Of),
        _ => 0,
    };

    private static long Of(torch.Tensor tensor)
    {
        if (tensor.device_type is DeviceType.META) return 0;
        long element = tensor.element_size(), bytes = tensor.numel() * element;
        if (bytes < Small) return bytes;
        long last = 0; // the offset of its last element: an expanded tensor has fewer than it shows
        long[] shape = tensor.shape, stride = tensor.stride();
        for (int dim = 0; dim < shape.Length; dim++) last += (shape[dim] - 1) * stride[dim];
        return Math.Min(bytes, (last + 1) * element);
    }
}
