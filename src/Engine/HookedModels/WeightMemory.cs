using Ndif.Models;
using Ndif.Models.Loading;
using TorchSharp;

namespace Ndif.Engine.HookedModels;

/// <summary>The memory of the weights of a loaded model.</summary>
internal sealed class WeightMemory
{
    private readonly nint[] _starts, _ends; // ascending

    /// <remarks>A packed weight is left out: a program sees a dequantized copy of it.</remarks>
    public WeightMemory(LoadedModel model)
    {
        (nint Start, nint End)[] ranges = [.. model.Modules.SelectMany(module => module.Parameters).Distinct()
            .Where(parameter => !parameter.IsPacked).Select(parameter => parameter.Value).Where(value => value.numel() > 0)
            .Select(value => (NativeTensor.DataPointer(value.Handle), value.numel() * value.element_size()))
            .Select(range => (range.Item1, range.Item1 + (nint)range.Item2)).OrderBy(range => range.Item1)];
        (_starts, _ends) = ([.. ranges.Select(range => range.Start)], [.. ranges.Select(range => range.End)]);
    }

    /// <summary>Whether the elements of a tensor are in it.</summary>
    public bool Contains(torch.Tensor tensor)
    {
        if (tensor.numel() == 0 || tensor.device_type is DeviceType.META) return false;
        nint address = NativeTensor.DataPointer(tensor.Handle);
        int at = Array.BinarySearch(_starts, address);
        if (at < 0) at = ~at - 1; // the range that begins before it
        return at >= 0 && address < _ends[at];
    }
}
