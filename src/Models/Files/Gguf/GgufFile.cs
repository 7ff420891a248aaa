using System.Buffers.Binary;
using System.Globalization;
using System.Text;
using ErrorCode = Ndif.Protocol.ErrorCode;

namespace Ndif.Models.Files.Gguf;

/// <summary>An open GGUF file: metadata and tensors.</summary>
/// <remarks>
/// https://github.com/ggml-org/ggml/blob/master/docs/gguf.md, versions 2 and 3.
/// <code>
///  "GGUF" | version | tensor count | metadata count | metadata: key, type, value ...
///  | tensors: name, dimensions, type, offset ... | padding to the alignment | data
/// </code>
/// All counts and lengths are checked against the bytes that are left before anything is allocated.
/// </remarks>
internal sealed class GgufFile : IDisposable
{
    public const string Extension = ".gguf";

    private const uint Magic = 0x46554747; // "GGUF"
    private const int MaxDimensions = 4, MaxDepth = 4;
    private const long DefaultAlignment = 32, MaxAlignment = 1 << 20;

    private static readonly object[] _small = [.. Enumerable.Range(0, 256).Select(value => (object)(long)value)];
    private static readonly object _true = true, _false = false;

    private readonly Dictionary<string, object> _metadata = new(StringComparer.Ordinal);
    private readonly Dictionary<string, GgufTensor> _tensors = new(StringComparer.Ordinal);
    private long _position;
    private bool _disposed;

    private GgufFile(string path, FileMapping mapping) => (Path, Mapping) = (path, mapping);

    public string Path { get; }

    public FileMapping Mapping { get; }

    /// <summary>Values by key: long, ulong, double, bool, string, or a list of them.</summary>
    public IReadOnlyDictionary<string, object> Metadata => _metadata;

    public IReadOnlyDictionary<string, GgufTensor> Tensors => _tensors;

    /// <summary>Whether a path has the extension of a GGUF file.</summary>
    public static bool IsName(string path) => path.EndsWith(Extension, StringComparison.OrdinalIgnoreCase);

    /// <exception cref="CheckpointException">The file is missing, damaged, or has a tensor of an unknown type.</exception>
    public static GgufFile Open(string path)
    {
        FileMapping mapping;
        try { mapping = FileMapping.Open(path); }
        catch (EndOfStreamException e) { throw Errors.CreateException(ErrorCode.BadCheckpoint, $"{path} is empty.", inner: e); }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw Errors.CreateException(ErrorCode.BadCheckpoint, $"{path} cannot be read: {e.Message}", inner: e);
        }
        GgufFile file = new(path, mapping);
        try
        {
            file.Parse();
            return file;
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    public void Dispose()
    {
        if (_disposed) return;
        _disposed = true;
        Mapping.Release();
    }

    public Exception Invalid(string what, string hint = "Download or convert the file again.", string module = "") =>
        Errors.CreateException(ErrorCode.BadCheckpoint, $"{Path} {what}.", hint, module);

    private void Parse()
    {
        if (UInt32() != Magic) throw Invalid("is not a GGUF file");
        uint version = UInt32();
        if (version is not (2 or 3))
            throw Invalid(BinaryPrimitives.ReverseEndianness(version) is 2 or 3 ? "is in big-endian order, which is not supported"
                : $"has version {version} of GGUF; 2 and 3 can be read");
        long tensors = Count(24), values = Count(12);
        for (long i = 0; i < values; i++)
        {
            string key = Text();
            if (!_metadata.TryAdd(key, Value(UInt32(), key, 0))) throw Invalid($"has the metadata `{key}` twice");
        }
        List<(string Name, GgufType Type, long[] Shape, long Offset)> infos = [];
        for (long i = 0; i < tensors; i++) infos.Add(TensorInfo());
        long alignment = _metadata.GetValueOrDefault("general.alignment") switch
        {
            null => DefaultAlignment,
            long value and > 0 and <= MaxAlignment when (value & (value - 1)) == 0 && value >= 8 => value,
            var other => throw Invalid($"has the alignment {other}"),
        };
        long start = (_position + alignment - 1) / alignment * alignment;
        foreach (var info in infos) AddTensor(info.Name, info.Type, info.Shape, info.Offset, start, alignment);
        CheckOverlaps();
    }

    private (string, GgufType, long[], long) TensorInfo()
    {
        string name = Text();
        uint dimensions = UInt32();
        if (dimensions > MaxDimensions) throw Invalid($"gives `{name}` {dimensions} dimensions", module: name);
        long[] shape = new long[dimensions];
        for (int i = 0; i < dimensions; i++)
        {
            ulong size = UInt64();
            shape[^(i + 1)] = size <= long.MaxValue ? (long)size : throw Invalid($"gives `{name}` a dimension of {size}", module: name);
        }
        uint id = UInt32();
        GgufType type = GgufType.Find(id) ?? throw Invalid($"has `{name}` in the type {GgufType.NameOf(id)}, which cannot be read",
            $"Known are {string.Join(", ", GgufType.Names)}. Take the model in one of them.", name);
        ulong offset = UInt64();
        return (name, type, shape, offset <= long.MaxValue ? (long)offset : throw Invalid($"gives `{name}` the offset {offset}",
            module: name));
    }

    private void AddTensor(string name, GgufType type, long[] shape, long offset, long start, long alignment)
    {
        if (type.BlockElements > 1 && (shape.Length == 0 || shape[^1] % type.BlockElements != 0))
            throw Invalid($"gives `{name}` the shape [{string.Join(", ", shape)}], whose rows are no whole blocks of {type.Name}",
                module: name);
        if (offset % alignment != 0) throw Invalid($"gives `{name}` the offset {offset}, which is not aligned to {alignment}",
            module: name);
        long length;
        try { length = checked(TensorShape.ElementCount(shape) / type.BlockElements * type.BlockBytes); }
        catch (OverflowException) { throw Invalid($"gives `{name}` the shape [{string.Join(", ", shape)}], too large to exist",
            module: name); }
        if (offset > Mapping.Length - start || length > Mapping.Length - start - offset)
            throw Invalid($"is truncated: `{name}` ends behind the file", module: name);
        if (!_tensors.TryAdd(name, new GgufTensor(name, type, shape, start + offset, length)))
            throw Invalid($"has the tensor `{name}` twice", module: name);
    }

    private void CheckOverlaps()
    {
        long end = 0;
        foreach (GgufTensor tensor in _tensors.Values.OrderBy(t => t.Offset).ThenBy(t => t.Length))
        {
            if (tensor.Offset < end) throw Invalid($"gives `{tensor.Name}` bytes that overlap another tensor's", module: tensor.Name);
            end = tensor.Offset + tensor.Length;
        }
    }

    private object Value(uint type, string key, int depth) => type switch
    {
        0 => Box(Bytes(1)[0]),
        1 => Box((sbyte)Bytes(1)[0]),
        2 => Box(BinaryPrimitives.ReadUInt16LittleEndian(Bytes(2))),
        3 => Box(BinaryPrimitives.ReadInt16LittleEndian(Bytes(2))),
        4 => Box(UInt32()),
        5 => Box((int)UInt32()),
        // the shortest decimal: 1e-05 and not 9.999999747378752e-06
        6 => double.Parse($"{BinaryPrimitives.ReadSingleLittleEndian(Bytes(4)):R}", CultureInfo.CurrentCulture),
        7 => Bytes(1)[0] != 0 ? _true : _false,
        8 => Text(),
        9 when depth < MaxDepth => Values(key, depth),
        10 => UInt64() is var value && value <= long.MaxValue ? (object)(long)value : value,
        11 => (long)UInt64(),
        12 => BinaryPrimitives.ReadDoubleLittleEndian(Bytes(8)),
        _ => throw Invalid($"has the metadata `{key}` in the unknown type {type}"),
    };

    private List<object> Values(string key, int depth)
    {
        uint type = UInt32();
        long count = Count(type is 8 or 10 or 11 or 12 ? 8 : type is 9 ? 12 : type is 4 or 5 or 6 ? 4 : type is 2 or 3 ? 2 : 1);
        List<object> values = new((int)Math.Min(count, 1 << 20));
        for (long i = 0; i < count; i++) values.Add(Value(type, key, depth + 1));
        return values;
    }

    /// <summary>A number as an object: one for all small equal ones, of which a list may have many.</summary>
    private static object Box(long value) => value is >= 0 and < 256 ? _small[value] : value;

    /// <summary>A count of items that have at least a number of bytes each.</summary>
    private long Count(int itemBytes)
    {
        ulong count = UInt64();
        return count <= (ulong)((Mapping.Length - _position) / itemBytes) ? (long)count
            : throw Invalid($"is truncated: it should have {count} items from byte {_position} on");
    }

    private ReadOnlySpan<byte> Bytes(long count)
    {
        if (count > Mapping.Length - _position || count > int.MaxValue) throw Invalid($"is truncated at byte {Mapping.Length}");
        _position += count;
        return Mapping.Bytes(_position - count, (int)count);
    }

    private string Text()
    {
        ulong length = UInt64();
        return length <= (ulong)(Mapping.Length - _position) ? Encoding.UTF8.GetString(Bytes((long)length))
            : throw Invalid($"is truncated: a text of {length} bytes is at byte {_position}");
    }

    private uint UInt32() => BinaryPrimitives.ReadUInt32LittleEndian(Bytes(4));

    private ulong UInt64() => BinaryPrimitives.ReadUInt64LittleEndian(Bytes(8));
}
