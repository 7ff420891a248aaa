using System.Buffers.Binary;
using System.Text.Json;
using Microsoft.Win32.SafeHandles;

namespace Ndif.Activations;

/// <summary>An open shard in the safetensors format, from which ranges of rows are read.</summary>
internal sealed class SafetensorsShard : IDisposable
{
    private const int MaxHeaderBytes = 100 << 20; // of the format

    private readonly SafeFileHandle _file;
    private readonly string _path;
    private readonly Dictionary<string, (string Type, long Start, long Length)> _tensors = [];

    /// <exception cref="NdifException">CORRUPT_DATA.</exception>
    public SafetensorsShard(string path)
    {
        (_path, _file) = (path, File.OpenHandle(path));
        try
        {
            byte[] length = new byte[sizeof(long)];
            ReadExactly(length, 0);
            long headerBytes = BinaryPrimitives.ReadInt64LittleEndian(length);
            if (headerBytes is < 0 or > MaxHeaderBytes) throw new JsonException($"its header has {headerBytes} bytes.");
            byte[] header = new byte[headerBytes];
            ReadExactly(header, sizeof(long));
            ReadHeader(header);
        }
        catch (Exception e) when (e is JsonException or EndOfStreamException or InvalidOperationException or KeyNotFoundException)
        {
            _file.Dispose();
            throw CollectionFiles.Corrupt($"{path} is not a safetensors file: {e.Message}", "Collect again.", e);
        }
    }

    /// <summary>Reads rows of a tensor.</summary>
    /// <param name="rowBytes">The size of a row.</param>
    public byte[] Read(string name, DType type, long rowBytes, long first, int count)
    {
        if (!_tensors.TryGetValue(name, out var tensor) || tensor.Type != SafetensorsShardWriter.TypeNames[type]
            || (first + count) * rowBytes > tensor.Length)
            throw CollectionFiles.Corrupt($"{_path} has no `{name}` of the type and size that the manifest says.", "Collect again.");
        byte[] bytes = GC.AllocateUninitializedArray<byte>(checked((int)(count * rowBytes)));
        ReadExactly(bytes, tensor.Start + (first * rowBytes));
        return bytes;
    }

    public void Dispose() => _file.Dispose();

    private void ReadHeader(byte[] header)
    {
        using JsonDocument json = JsonDocument.Parse(header);
        foreach (JsonProperty tensor in json.RootElement.EnumerateObject().Where(property => property.Name != "__metadata__"))
        {
            JsonElement offsets = tensor.Value.GetProperty("data_offsets");
            long start = offsets[0].GetInt64(), end = offsets[1].GetInt64();
            _tensors[tensor.Name] = (tensor.Value.GetProperty("dtype").GetString()!, sizeof(long) + header.Length + start, end - start);
        }
    }

    private void ReadExactly(Span<byte> bytes, long offset)
    {
        while (!bytes.IsEmpty)
        {
            int read = RandomAccess.Read(_file, bytes, offset);
            if (read == 0) throw new EndOfStreamException($"{_path} is shorter than its header says.");
            bytes = bytes[read..];
            offset += read;
        }
    }
}
