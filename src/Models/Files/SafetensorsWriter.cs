using System.Buffers.Binary;
using System.Text.Json;
using static TorchSharp.torch;

namespace Ndif.Models.Files;

/// <summary>Writes safetensors files as the reference writer does: largest element types first, then by name, header padded to 8.</summary>
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
        const long Part = 1 << 28;                                 // a span holds 2 GB
        for (long start = 0; start < flat.numel(); start += Part)
            file.Write(flat.narrow(0, start, Math.Min(Part, flat.numel() - start)).bytes);
    }
}
