using System.Buffers.Binary;
using System.Runtime.InteropServices;
using System.Text.Json;

namespace Ndif.Activations;

/// <summary>
/// Writes a shard in the safetensors format: tensors by descending element size, so that each is aligned, after a header that is padded to
/// a multiple of 8 bytes.
/// </summary>
internal static class SafetensorsShardWriter
{
    /// <summary>The names of the format for the element types.</summary>
    public static readonly IReadOnlyDictionary<DType, string> TypeNames = new Dictionary<DType, string>
    {
        [DType.Float64] = "F64", [DType.Float32] = "F32", [DType.Float16] = "F16", [DType.BFloat16] = "BF16", [DType.Int64] = "I64",
        [DType.Int32] = "I32", [DType.Int16] = "I16", [DType.Int8] = "I8", [DType.UInt8] = "U8", [DType.Bool] = "BOOL",
    };

    private sealed record Entry(string Name, DType Type, long[] Shape, IEnumerable<ReadOnlyMemory<byte>> Parts);

    public static void Write(Stream file, ShardBuffer shard)
    {
        Entry[] entries =
        [
            new(IndexColumns.Text, DType.Int64, [shard.Rows], [ToBytes(shard.Texts)]),
            new(IndexColumns.Token, DType.Int32, [shard.Rows], [ToBytes(shard.Tokens)]),
            new(IndexColumns.Position, DType.Int32, [shard.Rows], [ToBytes(shard.Positions)]),
            .. shard.Sites.Select((site, i) => new Entry(site.Name, site.Dtype, [shard.Rows, .. site.Shape], shard.ValuesAt(i))),
        ];
        entries = [.. entries.OrderByDescending(entry => entry.Type.ItemSize())]; // stable
        byte[] header = BuildHeader(entries);
        Span<byte> length = stackalloc byte[sizeof(long)];
        BinaryPrimitives.WriteInt64LittleEndian(length, header.Length);
        file.Write(length);
        file.Write(header);
        foreach (ReadOnlyMemory<byte> part in entries.SelectMany(entry => entry.Parts)) file.Write(part.Span);
    }

    private static byte[] BuildHeader(Entry[] entries)
    {
        using var stream = new MemoryStream();
        using (var json = new Utf8JsonWriter(stream))
        {
            json.WriteStartObject();
            json.WriteStartObject("__metadata__");
            json.WriteString("format", "pt");
            json.WriteEndObject();
            long offset = 0;
            foreach (Entry entry in entries)
            {
                json.WriteStartObject(entry.Name);
                json.WriteString("dtype", TypeNames[entry.Type]);
                json.WriteStartArray("shape");
                foreach (long size in entry.Shape) json.WriteNumberValue(size);
                json.WriteEndArray();
                json.WriteStartArray("data_offsets");
                json.WriteNumberValue(offset);
                json.WriteNumberValue(offset += entry.Shape.Aggregate((long)entry.Type.ItemSize(), (bytes, size) => bytes * size));
                json.WriteEndArray();
                json.WriteEndObject();
            }
            json.WriteEndObject();
        }
        while (stream.Length % sizeof(long) != 0) stream.WriteByte((byte)' ');
        return stream.ToArray();
    }

    private static byte[] ToBytes<T>(IEnumerable<T> numbers) where T : unmanaged => MemoryMarshal.AsBytes<T>(numbers.ToArray()).ToArray();
}
