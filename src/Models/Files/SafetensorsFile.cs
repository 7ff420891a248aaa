using static TorchSharp.torch;
using ErrorCode = Ndif.Protocol.ErrorCode;

namespace Ndif.Models.Files;

/// <summary>An open safetensors file, whose tensors are views of the mapped file.</summary>
/// <remarks>
/// <code>
///  file  | length | header (JSON) | data: tensor, tensor, tensor ...        |
///            1          2             3 ^ Read(name) wraps this address
///  pages                              4 copied one by one, only when written to
/// </code>
/// 1. Map the file, private and copy-on-write, and ask the system to read ahead. Nothing is copied and nothing blocks.
/// 2. Read the header and validate all of it, because the later steps rely on it.
/// 3. Create a tensor over the mapped bytes (<c>torch::from_blob</c>) in the element type of the file. 148 tensors of 500 MB take half a
///    millisecond; reading them takes half a second, and converting them four seconds.
/// 4. Each tensor holds a reference to the mapping, which libtorch's deleter releases when the last view of the storage is gone.
/// A mapped file must not be truncated, because the system then ends the process: replace it by a rename, as downloaders do.
/// </remarks>
internal sealed class SafetensorsFile : IWeightFile
{
    private readonly FileMapping _mapping;
    private readonly SafetensorsHeader _header;
    private bool _disposed;

    private SafetensorsFile(string path, FileMapping mapping, SafetensorsHeader header) =>
        (Path, _mapping, _header) = (path, mapping, header);

    public string Path { get; }

    public IReadOnlyDictionary<string, SafetensorsEntry> Entries => _header.Entries;

    /// <summary>The free-form entries of the header's <c>__metadata__</c>.</summary>
    public IReadOnlyDictionary<string, string> Metadata => _header.Metadata;

    /// <exception cref="CheckpointException">
    /// The file is missing, damaged or not a safetensors file; the message names the file and the tensor.
    /// </exception>
    public static SafetensorsFile Open(string path)
    {
        FileMapping mapping;
        try { mapping = FileMapping.Open(path); } // 1
        catch (EndOfStreamException e) { throw Errors.CreateException(ErrorCode.BadCheckpoint, $"{path} is empty.", inner: e); }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw Errors.CreateException(ErrorCode.BadCheckpoint, $"{path} cannot be read: {e.Message}", inner: e);
        }
        try { return new SafetensorsFile(path, mapping, ReadHeader(mapping, path)); } // 2
        catch
        {
            mapping.Release();
            throw;
        }
    }

    private static SafetensorsHeader ReadHeader(FileMapping mapping, string path)
    {
        int length = SafetensorsHeader.ReadLength(mapping.Bytes(0, (int)Math.Min(8, mapping.Length)), mapping.Length, path);
        return SafetensorsHeader.Parse(mapping.Bytes(8, length), mapping.Length, path);
    }

    /// <summary>
    /// Creates a tensor over the mapped file, on the CPU and in the file's element type. The caller owns it; it belongs to no dispose
    /// scope and may outlive this object.
    /// </summary>
    public Tensor Read(string name)
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        if (!Entries.TryGetValue(name, out SafetensorsEntry? entry))
            throw Errors.CreateException(ErrorCode.BadCheckpoint, $"{Path} has no tensor `{name}`.", Errors.DidYouMean(name, Entries.Keys));
        if (entry.DType.Torch is not { } type)
            throw Errors.CreateException(ErrorCode.BadCheckpoint, $"{Path} holds `{name}` as {entry.DType.Name}, which is not supported.",
                "Save the checkpoint in float32, float16 or bfloat16.");
        return _mapping.NewTensor(_header.DataStart + entry.Offset, entry.Shape, type, entry.DType.Size); // 3, 4
    }

    public nint Address(string name) => _mapping.Start + (nint)(_header.DataStart + Entries[name].Offset);

    /// <summary>The bytes of a tensor from an offset on, at most <paramref name="count"/>.</summary>
    public ReadOnlySpan<byte> ReadBytes(string name, long offset, int count)
    {
        SafetensorsEntry entry = Entries[name];
        return _mapping.Bytes(_header.DataStart + entry.Offset + offset, (int)Math.Min(count, entry.Length - offset));
    }

    /// <summary>
    /// Releases the memory of a tensor that was read and copied. No tensor over the range may exist. The content is read from the file
    /// again when it is accessed.
    /// </summary>
    public void ReleasePages(string name)
    {
        SafetensorsEntry entry = Entries[name];
        _mapping.ReleasePages(_header.DataStart + entry.Offset, entry.Length);
    }

    /// <summary>See <see cref="FileMapping.ReadAhead"/>.</summary>
    public void ReadAhead() => _mapping.ReadAhead();

    /// <summary>Closes the file. It stays mapped until its last tensor is gone.</summary>
    public void Dispose()
    {
        if (_disposed) return;
        _disposed = true;
        _mapping.Release();
    }
}
