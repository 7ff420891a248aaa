using System.Buffers.Binary;
using System.Text.Json;

namespace Ndif.Protocol.Files;

/// <summary>
/// Writes the header of a safetensors file as the reference writer does: tensors by descending element size, then by name, and padded to a
/// multiple of 8 bytes.
/// </summary>
internal static class SafetensorsHeaderWriter
{
    /// <summary>The tensors in the order in which their data follows the header.</summary>
    public static KeyValuePair<string, T>[] Order<T>(IEnumerable<KeyValuePair<string, T>> tensors, Func<T, SafetensorsDType> dtype) =>
        [.. tensors.OrderByDescending(tensor => dtype(tensor.Value).Size).ThenBy(tensor => tensor.Key, StringComparer.Ordinal)];

    /// <summary>The bytes before the data: the length of the header, and the header.</summary>
    /// <param name="tensors">The tensors in the order of <see cref="Order"/>.</param>
    /// <param name="metadata">Texts beside the tensors; null for none.</param>
    public static byte[] Write(
        IEnumerable<(string Name, SafetensorsDType DType, long[] Shape)> tensors, IReadOnlyDictionary<string, string>? metadata)
    {
        using MemoryStream stream = new();
        stream.Write(new byte[8]);
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
            foreach (var (name, dtype, shape) in tensors)
            {
                json.WriteStartObject(name);
                json.WriteString("dtype", dtype.Name);
                json.WriteStartArray("shape");
                foreach (long size in shape) json.WriteNumberValue(size);
                json.WriteEndArray();
                json.WriteStartArray("data_offsets");
                json.WriteNumberValue(offset);
                json.WriteNumberValue(offset += shape.Aggregate((long)dtype.Size, (product, size) => product * size));
                json.WriteEndArray();
                json.WriteEndObject();
            }
            json.WriteEndObject();
        }
        while (stream.Length % 8 != 0) stream.WriteByte((byte)' ');
        byte[] header = stream.ToArray();
        BinaryPrimitives.WriteInt64LittleEndian(header, header.Length - 8);
        return header;
    }
}
