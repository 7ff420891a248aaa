using System.Buffers.Binary;
using static TorchSharp.torch;
using ErrorCode = Ndif.Protocol.ErrorCode;

namespace Ndif.Models.Files.Pickle;

/// <summary>
/// An open file of torch.save with a state_dict, whose tensors are views of the mapped file. Nothing in it is executed
/// (<see cref="Unpickler"/>).
/// </summary>
/// <remarks>
/// torch/serialization.py. Since PyTorch 1.6 a zip file: data.pkl names the storages, and data/KEY has the bytes of each. Before that, a
/// row of pickles: a magic number, a version, the sizes of C types, the object, and the keys of the storages; then each storage as a
/// count of 8 bytes and its elements.
/// </remarks>
internal sealed class PickleFile : IWeightFile
{
    private const string MagicNumber = "\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.";

    private readonly FileMapping _mapping;
    private readonly Dictionary<string, SafetensorsEntry> _entries = new(StringComparer.Ordinal);
    private readonly Dictionary<string, PickleTensor> _tensors = new(StringComparer.Ordinal);
    private readonly Dictionary<string, (long Offset, long Length)> _storages = new(StringComparer.Ordinal);
    private bool _disposed;

    private PickleFile(string path, FileMapping mapping) => (Path, _mapping) = (path, mapping);

    public string Path { get; }

    public IReadOnlyDictionary<string, SafetensorsEntry> Entries => _entries;

    /// <exception cref="CheckpointException">The file is missing, damaged, or contains something else than tensors.</exception>
    public static PickleFile Open(string path)
    {
        FileMapping mapping;
        try { mapping = FileMapping.Open(path); }
        catch (EndOfStreamException e) { throw Errors.CreateException(ErrorCode.BadCheckpoint, $"{path} is empty.", inner: e); }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw Errors.CreateException(ErrorCode.BadCheckpoint, $"{path} cannot be read: {e.Message}", inner: e);
        }
        PickleFile file = new(path, mapping);
        try
        {
            file.AddTensors(ZipDirectory.IsZip(mapping) ? file.ReadZip() : file.ReadLegacy());
            return file;
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    public Tensor Read(string name)
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        SafetensorsEntry entry = _entries[name];
        PickleTensor tensor = _tensors[name];
        ScalarType type = entry.DType.Torch!.Value;
        if (IsContiguous(tensor)) return _mapping.NewTensor(entry.Offset, entry.Shape, type, entry.DType.Size);
        using var nothing = no_grad();
        long count = 1 + tensor.Shape.Zip(tensor.Strides).Sum(dimension => (dimension.First - 1) * dimension.Second);
        using Tensor elements = _mapping.NewTensor(entry.Offset, [count], type, entry.DType.Size);      // the storage's elements
        using Tensor view = elements.as_strided(tensor.Shape, tensor.Strides);                          // the tensor's shape
        return view.contiguous().DetachFromDisposeScope();
    }

    public nint Address(string name) => IsContiguous(_tensors[name]) ? _mapping.Start + (nint)_entries[name].Offset
        : throw Invalid($"has `{name}`, a part of a packed weight, with strides");

    public void ReleasePages(string name)
    {
        if (IsContiguous(_tensors[name])) _mapping.ReleasePages(_entries[name].Offset, _entries[name].Length);
    }

    public void ReadAhead() => _mapping.ReadAhead();

    public void Dispose()
    {
        if (_disposed) return;
        _disposed = true;
        _mapping.Release();
    }

    private object? ReadZip()
    {
        foreach (var (name, range) in ZipDirectory.Read(_mapping, Path))
            _storages[name.StartsWith("data/", StringComparison.Ordinal) ? name[5..] : "/" + name] = range;
        if (_storages.TryGetValue("/byteorder", out var order) && !_mapping.Bytes(order.Offset,
            (int)order.Length).SequenceEqual("little"u8))
            throw Invalid("has its numbers in big-endian order");
        if (!_storages.TryGetValue("/data.pkl", out var pickle)) throw Invalid("is a zip file without a data.pkl");
        return new Unpickler(_mapping, Path, pickle.Offset, pickle.Offset + pickle.Length).Read();
    }

    private object? ReadLegacy()
    {
        if (_mapping.Length < MagicNumber.Length
            || !_mapping.Bytes(0, MagicNumber.Length).SequenceEqual(MagicNumber.Select(c => (byte)c).ToArray()))
            throw Invalid("is not a file of torch.save");
        long position = MagicNumber.Length;
        object? Next()
        {
            Unpickler unpickler = new(_mapping, Path, position, _mapping.Length);
            object? value = unpickler.Read();
            position = unpickler.Position;
            return value;
        }

        _ = Next(); // the version of the protocol
        _ = Next(); // the sizes of C types
        object? state = Next();
        if (Next() is not List<object?> keys) throw Invalid("has no list of storages");
        Dictionary<string, int> sizes = new(StringComparer.Ordinal);
        foreach (PickleTensor tensor in Tensors(state).Select(entry => entry.Tensor)) sizes[tensor.Storage.Key] = tensor.Storage.DType.Size;
        foreach (object? key in keys)
        {
            if (key is not string name || !sizes.TryGetValue(name, out int size)) throw Invalid("has a storage that no tensor uses");
            if (_mapping.Length - position < 8) throw Invalid("is truncated");
            long count = BinaryPrimitives.ReadInt64LittleEndian(_mapping.Bytes(position, 8));
            position += 8;
            if (count < 0 || count > (_mapping.Length - position) / size) throw Invalid("is truncated");
            _storages[name] = (position, count * size);
            position += count * size;
        }
        return state;
    }

    private IEnumerable<(string Name, PickleTensor Tensor)> Tensors(object? state)
    {
        if (state is not Dictionary<object, object?> entries) throw Invalid("is not a state_dict, a dictionary of tensors");
        foreach (var (key, value) in entries)
            if (value is PickleTensor tensor) yield return ($"{key}", tensor);
            else if (value is Dictionary<object, object?>)
                throw Invalid($"is not a state_dict: `{key}` in it is a dictionary of its own",
                    "It is a training checkpoint: save the weights alone, as model.save_pretrained(folder) does.");
    }

    private void AddTensors(object? state)
    {
        foreach (var (name, tensor) in Tensors(state))
        {
            if (!_storages.TryGetValue(tensor.Storage.Key, out var storage)) throw Invalid($"has no bytes for `{name}`");
            int size = tensor.Storage.DType.Size;
            if (tensor.Shape.Length != tensor.Strides.Length || tensor.Offset < 0 || tensor.Shape.Any(n => n < 0)
                || tensor.Strides.Any(n => n < 0))
                throw Invalid($"gives `{name}` a shape that cannot be");
            long elements, last;
            try
            {
                elements = checked(TensorShape.ElementCount(tensor.Shape));
                last = elements == 0 ? 0
                    : checked(tensor.Offset + 1 + tensor.Shape.Zip(tensor.Strides).Sum(d => checked((d.First - 1) * d.Second)));
            }
            catch (OverflowException e) { throw Invalid($"gives `{name}` a shape that cannot be", inner: e); }
            if (last > storage.Length / size) throw Invalid($"is truncated: `{name}` ends behind its storage");
            _tensors[name] = tensor;
            _entries[name] = new SafetensorsEntry(name, tensor.Storage.DType, tensor.Shape, storage.Offset + tensor.Offset * size,
                elements * size);
        }
        if (_entries.Count == 0) throw Invalid("has no tensors");
    }

    private static bool IsContiguous(PickleTensor tensor)
    {
        long expected = 1;
        for (int i = tensor.Shape.Length - 1; i >= 0; i--)
        {
            if (tensor.Shape[i] != 1 && tensor.Strides[i] != expected) return false;
            expected *= tensor.Shape[i];
        }
        return true;
    }

    private Exception Invalid(string what, string hint = "Download or save the file again.", Exception? inner = null) =>
        Errors.CreateException(ErrorCode.BadCheckpoint, $"{Path} {what}.", hint, inner: inner);
}
