using static TorchSharp.torch;

namespace Ndif.Models.Files;

/// <summary>Writes the tensors of TorchSharp to safetensors files.</summary>
public static class SafetensorsWriter
{
    public static void Write(string path, IEnumerable<KeyValuePair<string, Tensor>> tensors,
        IReadOnlyDictionary<string, string>? metadata = null)
    {
        KeyValuePair<string, Tensor>[] ordered = SafetensorsHeaderWriter.Order(tensors, tensor => SafetensorsDTypes.Of(tensor.dtype));
        using FileStream file = File.Create(path);
        file.Write(SafetensorsHeaderWriter.Write(
            ordered.Select(tensor => (tensor.Key, SafetensorsDTypes.Of(tensor.Value.dtype), tensor.Value.shape)), metadata));
        foreach ((_, Tensor tensor) in ordered) WriteData(file, tensor);
    }

    private static void WriteData(FileStream file, Tensor tensor)
    {
        using var scope = NewDisposeScope();
        Tensor flat = tensor.detach().cpu().contiguous().view(-1); // [elements]
        const long PartElements = 1 << 28; // a span has at most 2 GB
        for (long start = 0; start < flat.numel(); start += PartElements)
            file.Write(flat.narrow(0, start, Math.Min(PartElements, flat.numel() - start)).bytes);
    }
}
