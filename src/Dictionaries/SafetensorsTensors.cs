using System.Buffers.Binary;
using System.Text.Json;
using Ndif.Protocol;

namespace Ndif.Dictionaries;

/// <summary>Reads the tensors of a safetensors file into memory, and writes them.</summary>
/// <remarks>https://huggingface.co/docs/safetensors: the length of the header in 8 bytes, the header in JSON, the data.</remarks>
internal static class SafetensorsTensors
{
    private const int MaxHeaderBytes = 100 << 20;

    private static readonly Dictionary<string, DType> _types = new()
    {
        ["F64"] = DType.Float64, ["F32"] = DType.Float32, ["F16"] = DType.Float16, ["BF16"] = DType.BFloat16, ["I64"] = DType.Int64,
        ["I32"] = DType.Int32, ["I16"] = DType.Int16, ["I8"] = DType.Int8, ["U8"] = DType.UInt8, ["BOOL"] = DType.Bool,
    };

    /// <exception cref="NdifException">BAD_CHECKPOINT: the file is damaged, or has an element type that is not supported.</exception>
    public static Dictionary<string, TensorData> Read(string path)
    {
        using FileStream file = File.OpenRead(path);
        if (file.Length < sizeof(ulong)) throw Damaged(path, "is too short");
        Span<byte> prefix = stackalloc byte[sizeof(ulong)];
        file.ReadExactly(prefix);
        ulong headerBytes = BinaryPrimitives.ReadUInt64LittleEndian(prefix);
        if (headerBytes > MaxHeaderBytes || (long)headerBytes > file.Length - sizeof(ulong))
            throw Damaged(path, $"has a header of {headerBytes} bytes, and {file.Length} in all");
        var header = new byte[headerBytes];
        file.ReadExactly(header);
        try
        {
            using JsonDocument json = JsonDocument.Parse(header);
            return json.RootElement.EnumerateObject().Where(entry => entry.Name != "__metadata__")
                .ToDictionary(entry => entry.Name, entry => ReadTensor(file, path, entry, sizeof(ulong) + (long)headerBytes));
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException or KeyNotFoundException or FormatException
            or OverflowException or ArgumentException or IndexOutOfRangeException)
        {
            throw Damaged(path, $"has a header that cannot be read: {e.Message.TrimEnd('.')}", e);
        }
    }

    /// <summary>Writes tensors, in the order of their names.</summary>
    public static void Write(string path, IReadOnlyDictionary<string, TensorData> tensors)
    {
        KeyValuePair<string, TensorData>[] sorted = [.. tensors.OrderBy(entry => entry.Key, StringComparer.Ordinal)];
        using MemoryStream header = new();
        using (var json = new Utf8JsonWriter(header))
        {
            long offset = 0;
            json.WriteStartObject();
            foreach (var (name, tensor) in sorted)
            {
                json.WriteStartObject(name);
                json.WriteString("dtype", _types.Single(type => type.Value == tensor.Type).Key);
                json.WriteStartArray("shape");
                foreach (long size in tensor.Shape) json.WriteNumberValue(size);
                json.WriteEndArray();
                json.WriteStartArray("data_offsets");
                json.WriteNumberValue(offset);
                json.WriteNumberValue(offset += tensor.Bytes.Length);
                json.WriteEndArray();
                json.WriteEndObject();
            }
            json.WriteEndObject();
        }
        using FileStream file = File.Create(path);
        Span<byte> prefix = stackalloc byte[sizeof(ulong)];
        BinaryPrimitives.WriteUInt64LittleEndian(prefix, (ulong)header.Length);
        file.Write(prefix);
        header.WriteTo(file);
        foreach (var (_, tensor) in sorted) file.Write(tensor.Bytes.Span);
    }

    private static TensorData ReadTensor(FileStream file, string path, JsonProperty entry, long dataStart)
    {
        long[] shape = [.. entry.Value.GetProperty("shape").EnumerateArray().Select(size => size.GetInt64())];
        JsonElement offsets = entry.Value.GetProperty("data_offsets");
        long begin = offsets[0].GetInt64(), end = offsets[1].GetInt64();
        if (begin < 0 || end < begin || end > file.Length - dataStart)
            throw Damaged(path, $"is truncated: `{entry.Name}` has bytes {begin} to {end} of {file.Length - dataStart}");
        if (end - begin > Array.MaxLength)
            throw Errors.CreateException(
                ErrorCode.Unsupported, $"`{entry.Name}` of {path} has {end - begin:N0} bytes; 2 GB are supported.");
        string type = entry.Value.GetProperty("dtype").GetString() ?? "";
        if (!_types.TryGetValue(type, out DType dtype)) throw Damaged(path, $"has `{entry.Name}` of type `{type}`, which is not supported");
        var bytes = new byte[end - begin];
        file.Position = dataStart + begin;
        file.ReadExactly(bytes);
        return new TensorData(dtype, shape, bytes);
    }

    private static Exception Damaged(string path, string what, Exception? inner = null) => Errors.CreateException(ErrorCode.BadCheckpoint,
        $"{path} {what}.", "The file is damaged or not in the safetensors format: download or save it again.", inner: inner);
}
