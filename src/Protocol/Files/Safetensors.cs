using Ndif.Protocol;
using Ndif.Protocol.Files;

namespace Ndif;

/// <summary>
/// Files of named tensors in the safetensors format, as Python's <c>safetensors.torch.load_file</c> and <c>save_file</c> read and write
/// them.
/// </summary>
/// <remarks>https://github.com/huggingface/safetensors</remarks>
public static class Safetensors
{
    /// <summary>Reads the tensors of a file by name.</summary>
    /// <param name="path">The file. No more memory is taken than it has bytes.</param>
    /// <param name="names">The tensors to read; null for all. Those that the file does not have are an error.</param>
    /// <exception cref="CheckpointException">
    /// BAD_CHECKPOINT: the file is damaged, is no safetensors file, or does not have a tensor of this name.
    /// </exception>
    /// <exception cref="BadProgramException">
    /// UNSUPPORTED: a tensor has an element type that <see cref="TensorData"/> does not have, such as float8.
    /// </exception>
    /// <exception cref="IOException">The file cannot be read.</exception>
    public static IReadOnlyDictionary<string, TensorData> Load(string path, IEnumerable<string>? names = null)
    {
        using FileStream file = File.OpenRead(path);
        SafetensorsHeader header = ReadHeader(file, path);
        Dictionary<string, TensorData> tensors = new(StringComparer.Ordinal);
        foreach (string name in names?.ToArray() ?? [.. header.Entries.Values.OrderBy(entry => entry.Offset).Select(entry => entry.Name)])
        {
            if (!header.Entries.TryGetValue(name, out SafetensorsEntry? entry))
                throw Errors.CreateException(ErrorCode.BadCheckpoint, $"{path} has no tensor `{name}`.",
                    Errors.DidYouMean(name, header.Entries.Keys));
            tensors[name] = ReadTensor(file, header.DataStart, entry, path);
        }
        return tensors;
    }

    /// <summary>Reads the texts that a file has beside its tensors (<c>__metadata__</c>).</summary>
    /// <exception cref="CheckpointException">BAD_CHECKPOINT: the file is damaged, or no safetensors file.</exception>
    /// <exception cref="IOException">The file cannot be read.</exception>
    public static IReadOnlyDictionary<string, string> LoadMetadata(string path)
    {
        using FileStream file = File.OpenRead(path);
        return ReadHeader(file, path).Metadata;
    }

    /// <summary>Writes tensors to a file. An existing file is replaced when all is written.</summary>
    /// <param name="tensors">
    /// The tensors by name: a dictionary of <see cref="TensorData"/>. A <see cref="TensorData"/> of complex128 is not part of the format.
    /// </param>
    /// <param name="metadata">Texts beside the tensors, such as <c>{ "format": "pt" }</c>.</param>
    /// <exception cref="ArgumentException">Two tensors have one name, or one is named <c>__metadata__</c>.</exception>
    /// <exception cref="BadProgramException">UNSUPPORTED: the format has no such element type.</exception>
    /// <exception cref="IOException">The file cannot be written.</exception>
    public static void Save(
        string path, IEnumerable<KeyValuePair<string, TensorData>> tensors, IReadOnlyDictionary<string, string>? metadata = null)
    {
        KeyValuePair<string, TensorData>[] ordered = SafetensorsHeaderWriter.Order(tensors, tensor => SafetensorsDType.Of(tensor.Type));
        foreach (IGrouping<string, KeyValuePair<string, TensorData>> same in ordered.GroupBy(tensor => tensor.Key))
            if (same.Count() > 1 || same.Key == "__metadata__")
                throw new ArgumentException($"`{same.Key}` cannot be the name of a tensor, or names two.", nameof(tensors));
        byte[] header = SafetensorsHeaderWriter.Write(
            ordered.Select(tensor => (tensor.Key, SafetensorsDType.Of(tensor.Value.Type), tensor.Value.Shape.ToArray())), metadata);
        WholeFile.Write(path, stream =>
        {
            stream.Write(header);
            foreach ((_, TensorData tensor) in ordered) stream.Write(tensor.Bytes.Span);
        });
    }

    private static SafetensorsHeader ReadHeader(FileStream file, string path)
    {
        Span<byte> start = stackalloc byte[8];
        int read = file.ReadAtLeast(start, 8, throwOnEndOfStream: false);
        var json = new byte[SafetensorsHeader.ReadLength(start[..read], file.Length, path)];
        file.ReadExactly(json);
        return SafetensorsHeader.Parse(json, file.Length, path);
    }

    private static TensorData ReadTensor(FileStream file, long dataStart, SafetensorsEntry entry, string path)
    {
        if (entry.DType.Type is not { } type)
            throw Errors.CreateException(ErrorCode.Unsupported,
                $"{path} holds `{entry.Name}` as {entry.DType.Name}, which a tensor of the client cannot have.",
                "Convert it before it is saved, or name the tensors to read.");
        if (entry.Length > Array.MaxLength)
            throw Errors.CreateException(ErrorCode.Unsupported,
                $"`{entry.Name}` in {path} has {entry.Length:N0} bytes, and a tensor has at most {Array.MaxLength:N0}.");
        byte[] bytes = GC.AllocateUninitializedArray<byte>((int)entry.Length);
        file.Position = dataStart + entry.Offset;
        file.ReadExactly(bytes);
        return new TensorData(type, entry.Shape, bytes);
    }
}
