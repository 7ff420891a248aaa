using System.Buffers.Binary;
using System.Text.Json;
using static TorchSharp.torch;

namespace Ndif.Models.Files;

/// <summary>
/// Writes safetensors files in the order of the reference writer: by descending element size, then by name, with the header padded to a
/// multiple of 8 bytes.
/// </summary>
public static class SafetensorsWriter
{
    public static void Write(string path, IEnumerable<KeyValuePair<string, Tensor>> tensors,
        IReadOnlyDictionary<string, string>? metadata = null)
    {
        KeyValuePair<string, Tensor>[] ordered = [.. tensors
            .OrderByDescending(t => SafetensorsDTypes.Of(t.Value.dtype).Size).ThenBy(t => t.Key, StringComparer.Ordinal)];
        byte[] header = BuildHeader(ordered, metadata);
        using FileStream file = File.Create(path);
        Span<byte> length = stackalloc byte[8];
        BinaryPrimitives.WriteInt64LittleEndian(length, header.Length);
        file.Write(length);
        file.Write(header);
        foreach ((_, Tensor tensor) in ordered) WriteData(file, tensor);
    }

    private static byte[] BuildHeader(KeyValuePair<string, Tensor>[] tensors, IReadOnlyDictionary<string, string>? metadata)
    {
        using MemoryStream stream = new();
        using (Utf8JsonWriter json = new(stream))
        {
            json.WriteStartObject();
            if (metadata is not null)
            {
                json.WriteStartObject("__metadata__");
                foreach (var (key, value) in metadata) json.WriteString(key, value);
                json.WriteEndObject();
            }
            long offset = 0;
            foreach (var (name, tensor) in tensors)
            {
                SafetensorsDType dtype = SafetensorsDTypes.Of(tensor.dtype);
                json.WriteStartObject(name);
                json.WriteString("dtype", dtype.Name);
                json.WriteStartArray("shape");
                foreach (long size in tensor.shape) json.WriteNumberValue(size);
                json.WriteEndArray();
                json.WriteStartArray("data_offsets");
                json.WriteNumberValue(offset);
                json.WriteNumberValue(offset += tensor.numel() * dtype.Size);
                json.WriteEndArray();
                json.WriteEndObject();
            }
            json.WriteEndObject();
        }
        while (stream.Length % 8 != 0) stream.WriteByte((byte)' ');
        return stream.ToArray();
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
