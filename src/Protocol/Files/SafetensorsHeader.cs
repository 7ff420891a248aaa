using System.Buffers.Binary;
using System.Text.Json;

namespace Ndif.Protocol.Files;

/// <summary>The header of a safetensors file, parsed and validated.</summary>
/// <remarks>
/// A file is 8 bytes of little-endian header length, the header as JSON, and the data. The tensors must cover the data without overlap
/// or hole, as the format demands (https://github.com/huggingface/safetensors#format).
/// </remarks>
internal sealed class SafetensorsHeader
{
    private const int MaxBytes = 100_000_000; // the limit of the format

    private readonly string _file;

    private SafetensorsHeader(string file) => _file = file;

    public Dictionary<string, SafetensorsEntry> Entries { get; } = new(StringComparer.Ordinal);

    public Dictionary<string, string> Metadata { get; } = new(StringComparer.Ordinal);

    /// <summary>The position of the data in the file.</summary>
    public long DataStart { get; private init; }

    /// <summary>The length of the header, from the first 8 bytes of a file.</summary>
    /// <exception cref="CheckpointException">BAD_CHECKPOINT: the file cannot have a header of this length.</exception>
    public static int ReadLength(ReadOnlySpan<byte> start, long fileLength, string file)
    {
        if (fileLength < 8) throw InvalidFile(file, $"has {fileLength} bytes, fewer than the 8 of a header length");
        ulong length = BinaryPrimitives.ReadUInt64LittleEndian(start);
        if (length > MaxBytes) throw InvalidFile(file, $"says its header has {length} bytes; the format allows {MaxBytes}");
        if (length > (ulong)fileLength - 8)
            throw InvalidFile(file, $"is truncated: the header should have {length} bytes, and {fileLength - 8} follow");
        return (int)length;
    }

    /// <summary>Parses a header and validates all of it.</summary>
    /// <exception cref="CheckpointException">BAD_CHECKPOINT: the header is damaged, or does not describe a file of this length.</exception>
    public static SafetensorsHeader Parse(ReadOnlySpan<byte> json, long fileLength, string file)
    {
        SafetensorsHeader header = new(file) { DataStart = 8 + json.Length };
        try { header.Parse(json); }
        catch (Exception e) when (e is JsonException or System.InvalidOperationException or FormatException)
        {
            throw InvalidFile(file, $"has a header that is not the JSON it should be: {e.Message}", e);
        }
        header.CheckCoverage(fileLength - header.DataStart);
        return header;
    }

    private void Parse(ReadOnlySpan<byte> json)
    {
        Utf8JsonReader reader = new(json);
        Expect(ref reader, JsonTokenType.StartObject);
        while (Next(ref reader) != JsonTokenType.EndObject)
        {
            string name = reader.GetString()!;
            if (name == "__metadata__") ParseMetadata(ref reader);
            else if (!Entries.TryAdd(name, ParseEntry(ref reader, name))) throw InvalidFile(_file, $"names `{name}` twice");
        }
        if (reader.Read()) throw new JsonException("something follows the closing brace");
    }

    private void ParseMetadata(ref Utf8JsonReader reader)
    {
        Expect(ref reader, JsonTokenType.StartObject);
        while (Next(ref reader) != JsonTokenType.EndObject)
        {
            string key = reader.GetString()!;
            Expect(ref reader, JsonTokenType.String);
            Metadata[key] = reader.GetString()!;
        }
    }

    private SafetensorsEntry ParseEntry(ref Utf8JsonReader reader, string name)
    {
        SafetensorsDType? dtype = null;
        long[]? shape = null, offsets = null;
        Expect(ref reader, JsonTokenType.StartObject);
        while (Next(ref reader) != JsonTokenType.EndObject)
        {
            string key = reader.GetString()!;
            switch (key)
            {
                case "dtype":
                    Expect(ref reader, JsonTokenType.String);
                    string type = reader.GetString()!;
                    dtype = SafetensorsDType.FindByName(type)
                        ?? throw InvalidFile(_file, $"gives `{name}` the unknown element type `{type}`");
                    break;
                case "shape": shape = ReadIntegers(ref reader, name, key); break;
                case "data_offsets": offsets = ReadIntegers(ref reader, name, key); break;
                default: throw InvalidFile(_file, $"has an unknown key `{key}` for `{name}`");
            }
        }
        if (dtype is null || shape is null || offsets is not { Length: 2 })
            throw InvalidFile(_file, $"must give `{name}` a dtype, a shape and two data_offsets");
        return CreateEntry(name, dtype, shape, offsets[0], offsets[1]);
    }

    private SafetensorsEntry CreateEntry(string name, SafetensorsDType dtype, long[] shape, long begin, long end)
    {
        long bytes;
        try { bytes = shape.Aggregate((long)dtype.Size, (product, size) => checked(product * size)); }
        catch (OverflowException e)
        {
            throw InvalidFile(_file, $"gives `{name}` the shape [{string.Join(", ", shape)}], too large to exist", e);
        }
        if (end < begin || end - begin != bytes)
            throw InvalidFile(_file,
                $"gives `{name}` bytes {begin} to {end}, but {dtype.Name} [{string.Join(", ", shape)}] takes {bytes} bytes");
        return new SafetensorsEntry(name, dtype, shape, begin, bytes);
    }

    private void CheckCoverage(long dataLength)
    {
        long end = 0;
        foreach (SafetensorsEntry entry in Entries.Values.OrderBy(e => e.Offset).ThenBy(e => e.Length))
        {
            if (entry.Offset < end)
                throw InvalidFile(_file, $"gives `{entry.Name}` bytes that overlap another tensor's (from {entry.Offset})");
            if (entry.Offset > end) throw InvalidFile(_file, $"has a hole of {entry.Offset - end} bytes before `{entry.Name}`");
            end = entry.Offset + entry.Length;
            if (end > dataLength)
                throw InvalidFile(_file, $"is truncated: `{entry.Name}` ends at byte {end} of the data, which has {dataLength}");
        }
        if (end != dataLength) throw InvalidFile(_file, $"has {dataLength - end} bytes after the last tensor");
    }

    private long[] ReadIntegers(ref Utf8JsonReader reader, string name, string key)
    {
        List<long> numbers = [];
        Expect(ref reader, JsonTokenType.StartArray);
        while (reader.Read() && reader.TokenType != JsonTokenType.EndArray)
        {
            if (reader.TokenType != JsonTokenType.Number || !reader.TryGetInt64(out long number) || number < 0)
                throw InvalidFile(_file, $"has a `{key}` of `{name}` with something else than non-negative whole numbers");
            numbers.Add(number);
        }
        return [.. numbers];
    }

    private static JsonTokenType Next(ref Utf8JsonReader reader)
    {
        if (!reader.Read()) throw new JsonException("it ends too early");
        return reader.TokenType;
    }

    private static void Expect(ref Utf8JsonReader reader, JsonTokenType type)
    {
        if (Next(ref reader) != type) throw new JsonException($"{type} expected at byte {reader.TokenStartIndex}, not {reader.TokenType}");
    }

    private static Exception InvalidFile(string file, string what, Exception? inner = null) =>
        Errors.CreateException(ErrorCode.BadCheckpoint,
        $"{file} {what}.", "The file is damaged or not in the safetensors format: download or save it again.", inner: inner);
}
