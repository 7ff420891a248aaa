using System.Text.Json;
using Ndif.Models.Config;
using Ndif.Models.Files.Gguf;
using Ndif.Models.Files.Packed;
using Ndif.Models.Files.Pickle;
using static TorchSharp.torch;
using ErrorCode = Ndif.Protocol.ErrorCode;

namespace Ndif.Models.Files;

/// <summary>
/// The weights of a model under Hugging Face's names. In a folder they are model.safetensors or pytorch_model.bin, or the shards that one
/// of their indices lists, and may be packed as the config's quantization_config says (<see cref="PackedTensors"/>); otherwise they are in
/// a GGUF file.
/// </summary>
internal sealed class Checkpoint : IDisposable
{
    internal const string SingleFileName = "model.safetensors", IndexFileName = "model.safetensors.index.json";
    internal const string PickleFileName = "pytorch_model.bin", PickleIndexFileName = "pytorch_model.bin.index.json";

    /// <summary>The names of the first file of a folder's weights; the first that exists is used.</summary>
    internal static IReadOnlyList<string> FirstFileNames { get; } = [SingleFileName, IndexFileName, PickleFileName, PickleIndexFileName];

    private readonly List<IWeightFile> _files = [];
    private readonly Dictionary<string, CheckpointTensor> _tensors = new(StringComparer.Ordinal);
    private GgufModel? _gguf;

    private Checkpoint(string folder) => Folder = folder;

    /// <summary>The folder, or the GGUF file.</summary>
    public string Folder { get; }

    /// <summary>The names of all tensors.</summary>
    public IReadOnlyCollection<string> Names => _tensors.Keys;

    /// <summary>Biases of packed layers that are all zero, which a model may have no place for.</summary>
    public IReadOnlySet<string> ZeroBiases { get; private set; } = new HashSet<string>();

    /// <summary>Whether weights are quantized by blocks.</summary>
    public bool HasPackedTensors => _tensors.Values.Any(tensor => tensor is PackedTensor);

    /// <summary>The entry of a tensor, with the type of what <see cref="Read"/> returns.</summary>
    public SafetensorsEntry Entry(string name) => _tensors[name].Entry;

    /// <summary>Reads a tensor, see <see cref="CheckpointTensor.Read"/>.</summary>
    public Tensor Read(string name) => _tensors[name].Read();

    /// <summary>The tensor in its packed form, or null if it is not packed.</summary>
    public PackedTensor? FindPacked(string name) => _tensors[name] as PackedTensor;

    /// <summary>Whether a tensor is used where the file is mapped.</summary>
    public bool IsMapped(string name) => _tensors[name].IsMapped;

    /// <summary>Whether two tensors have the same type, shape and values.</summary>
    public bool AreEqual(string name, string other)
    {
        (SafetensorsEntry a, SafetensorsEntry b) = (Entry(name), Entry(other));
        if (a.DType != b.DType || !a.Shape.AsSpan().SequenceEqual(b.Shape)) return false;
        using Tensor first = Read(name), second = Read(other);
        return AreSameBytes(first, second);
    }

    private static unsafe bool AreSameBytes(Tensor a, Tensor b)
    {
        const int PartBytes = 1 << 26;
        byte* first = (byte*)NativeTensor.DataPointer(a.Handle), second = (byte*)NativeTensor.DataPointer(b.Handle);
        long bytes = a.numel() * a.element_size();
        for (long offset = 0; offset < bytes; offset += PartBytes)
        {
            int length = (int)Math.Min(PartBytes, bytes - offset);
            if (!new ReadOnlySpan<byte>(first + offset, length).SequenceEqual(new ReadOnlySpan<byte>(second + offset,
                length))) return false;
        }
        return true;
    }

    /// <summary>Reads all files ahead, see <see cref="FileMapping.ReadAhead"/>.</summary>
    public void ReadAhead()
    {
        foreach (IWeightFile file in _files) file.ReadAhead();
        _gguf?.ReadAhead();
    }

    /// <summary>Releases the pages of a tensor, see <see cref="FileMapping.ReleasePages"/>.</summary>
    internal void ReleasePages(string name) => _tensors[name].ReleasePages();

    /// <summary>Whether a folder has weights, or the path is a GGUF file.</summary>
    public static bool ExistsIn(string folder) => GgufFile.IsName(folder) ? File.Exists(folder)
        : FirstFileNames.Any(name => File.Exists(Path.Combine(folder, name)));

    /// <summary>Whether no file is missing. A download may have written the index before its shards.</summary>
    internal static bool IsComplete(string folder)
    {
        if (GgufFile.IsName(folder)) return File.Exists(folder);
        string? first = FirstFileNames.FirstOrDefault(name => File.Exists(Path.Combine(folder, name)));
        if (first is null || !IsIndex(first)) return first is not null;
        string index = Path.Combine(folder, first);
        return ShardsOf(index, index).TrueForAll(shard => File.Exists(Path.Combine(folder, shard)));
    }

    /// <summary>Whether a file lists shards.</summary>
    internal static bool IsIndex(string name) => name is IndexFileName or PickleIndexFileName;

    /// <summary>The distinct file names in an index.</summary>
    /// <param name="label">The name of the index in error messages.</param>
    /// <exception cref="CheckpointException">
    /// The file is not an index, or it names something else than files of weights in its own folder.
    /// </exception>
    internal static List<string> ShardsOf(string path, string label) =>
        [.. WeightMap(path, label).Select(entry => entry.Value).Distinct(StringComparer.Ordinal)];

    /// <summary>Whether a file is a Python pickle.</summary>
    internal static bool IsPickle(string file) => _pickleExtensions.Any(kind => file.EndsWith(kind, StringComparison.Ordinal));

    private static readonly string[] _pickleExtensions = [".bin", ".pt", ".pth", ".ckpt", ".pkl"];

    /// <param name="folder">The folder, or a GGUF file.</param>
    /// <param name="config">The config, whose quantization_config says how weights are packed; null: they are not.</param>
    /// <exception cref="CheckpointException">The folder has no weights, or they are damaged.</exception>
    public static Checkpoint Open(string folder, ConfigReader? config = null)
    {
        Checkpoint checkpoint = new(folder);
        try
        {
            checkpoint.AddAll(config);
            return checkpoint;
        }
        catch
        {
            checkpoint.Dispose();
            throw;
        }
    }

    /// <summary>Closes the files. Tensors that were read stay valid.</summary>
    public void Dispose()
    {
        foreach (IWeightFile file in _files) file.Dispose();
        _files.Clear();
        _gguf?.Dispose();
        _gguf = null;
    }

    private void AddAll(ConfigReader? config)
    {
        if (GgufFile.IsName(Folder))
        {
            _gguf = GgufModel.Open(Folder);
            foreach (var (name, tensor) in _gguf.CreateTensors()) _tensors.Add(name, tensor);
            return;
        }
        string first = FirstFileNames.FirstOrDefault(name => File.Exists(Path.Combine(Folder, name))) ?? throw NoWeights(Folder);
        Dictionary<string, IWeightFile> fileByTensor = new(StringComparer.Ordinal);
        if (IsIndex(first)) AddShards(first, fileByTensor);
        else
        {
            IWeightFile file = OpenFile(first);
            foreach (string name in file.Entries.Keys) fileByTensor.Add(name, file);
        }
        foreach (var (name, file) in fileByTensor) _tensors.Add(name, new PlainTensor(file, file.Entries[name]));
        if (config is null) return;
        PackedTensors packed = new(_tensors, name => fileByTensor[name].Address(name), $"The checkpoint in {Folder}");
        packed.Combine(config);
        ZeroBiases = packed.ZeroBiases;
    }

    private IWeightFile OpenFile(string name)
    {
        string path = Path.Combine(Folder, name);
        IWeightFile file = IsPickle(name) ? PickleFile.Open(path) : SafetensorsFile.Open(path);
        _files.Add(file);
        return file;
    }

    private void AddShards(string index, Dictionary<string, IWeightFile> fileByTensor)
    {
        string path = Path.Combine(Folder, index);
        Dictionary<string, IWeightFile> shards = new(StringComparer.Ordinal);
        foreach (var (tensor, shard) in WeightMap(path, path))
        {
            if (!shards.TryGetValue(shard, out IWeightFile? file))
            {
                if (!File.Exists(Path.Combine(Folder, shard)))
                    throw Errors.CreateException(ErrorCode.BadCheckpoint,
                        $"{path} lists `{shard}` for `{tensor}`, and that file is missing.",
                        "The download is incomplete: fetch the missing shards.");
                shards.Add(shard, file = OpenFile(shard));
            }
            if (!file.Entries.ContainsKey(tensor))
                throw Errors.CreateException(ErrorCode.BadCheckpoint, $"{path} lists `{tensor}` in `{shard}`, which has no such tensor.");
            fileByTensor.Add(tensor, file);
        }
    }

    /// <summary>The entries of an index: tensor names and the files in the same folder that contain them.</summary>
    private static List<KeyValuePair<string, string>> WeightMap(string path, string label)
    {
        string extension = Path.GetFileName(label) == PickleIndexFileName ? ".bin" : ".safetensors";
        List<KeyValuePair<string, string>> map;
        try
        {
            using JsonDocument json = JsonDocument.Parse(File.ReadAllBytes(path), new() { AllowDuplicateProperties = false });
            map = [.. json.RootElement.GetProperty("weight_map").EnumerateObject()
                .Select(p => KeyValuePair.Create(p.Name, p.Value.GetString() ?? ""))];
        }
        catch (Exception e) when (e is JsonException or System.InvalidOperationException or KeyNotFoundException)
        {
            throw Errors.CreateException(ErrorCode.BadCheckpoint, $"{label} has no `weight_map` from tensor names to files: {e.Message}",
                inner: e);
        }
        foreach (string shard in map.Select(entry => entry.Value))
            if (shard.Length == 0 || shard.AsSpan().ContainsAny('/', '\\', '\0') || !shard.EndsWith(extension, StringComparison.Ordinal))
                throw Errors.CreateException(ErrorCode.BadCheckpoint,
                    $"{label} names `{shard}`, which is not a {extension[1..]} file beside it.");
        return map;
    }

    private static Exception NoWeights(string folder) => MissingWeights.CreateException(folder,
        Directory.EnumerateFiles(folder).Select(file => Path.GetFileName(file)),
        "Name a folder as Hugging Face's save_pretrained writes it, or a GGUF file.");
}
