using System.Text.Json;
using static TorchSharp.torch;
using ErrorCode = Ndif.Protocol.ErrorCode;

namespace Ndif.Models.Files;

/// <summary>
/// The weights of a folder in the format of Hugging Face: model.safetensors, or the shards that model.safetensors.index.json lists.
/// Pickled weights are refused.
/// </summary>
internal sealed class Checkpoint : IDisposable
{
    internal const string SingleFileName = "model.safetensors", IndexFileName = "model.safetensors.index.json";

    private readonly List<SafetensorsFile> _files = [];
    private readonly Dictionary<string, SafetensorsFile> _fileByTensor = new(StringComparer.Ordinal);

    private Checkpoint(string folder) => Folder = folder;

    public string Folder { get; }

    /// <summary>The names of all tensors.</summary>
    public IReadOnlyCollection<string> Names => _fileByTensor.Keys;

    public SafetensorsEntry Entry(string name) => _fileByTensor[name].Entries[name];

    /// <summary>Reads a tensor, see <see cref="SafetensorsFile.Read"/>.</summary>
    public Tensor Read(string name) => _fileByTensor[name].Read(name);

    /// <summary>Whether two tensors have the same type, shape and bytes.</summary>
    public bool AreEqual(string name, string other)
    {
        const int PartBytes = 1 << 26;
        (SafetensorsEntry a, SafetensorsEntry b) = (Entry(name), Entry(other));
        if (a.DType != b.DType || !a.Shape.AsSpan().SequenceEqual(b.Shape)) return false;
        for (long offset = 0; offset < a.Length; offset += PartBytes)
        {
            ReadOnlySpan<byte> part = _fileByTensor[name].ReadBytes(name, offset, PartBytes);
            if (!part.SequenceEqual(_fileByTensor[other].ReadBytes(other, offset, PartBytes))) return false;
        }
        return true;
    }

    /// <summary>Reads all files ahead, see <see cref="FileMapping.ReadAhead"/>.</summary>
    public void ReadAhead()
    {
        foreach (SafetensorsFile file in _files) file.ReadAhead();
    }

    /// <summary>Releases the pages of a tensor, see <see cref="SafetensorsFile.ReleasePages"/>.</summary>
    internal void ReleasePages(string name) => _fileByTensor[name].ReleasePages(name);

    /// <summary>Whether a folder has safetensors weights.</summary>
    public static bool ExistsIn(string folder) => File.Exists(Path.Combine(folder, SingleFileName))
        || File.Exists(Path.Combine(folder, IndexFileName));

    /// <summary>Whether no file is missing. A download may have written the index before its shards.</summary>
    internal static bool IsComplete(string folder)
    {
        if (File.Exists(Path.Combine(folder, SingleFileName))) return true;
        string index = Path.Combine(folder, IndexFileName);
        return File.Exists(index) && ShardsOf(index, index).TrueForAll(shard => File.Exists(Path.Combine(folder, shard)));
    }

    /// <summary>The distinct file names in an index.</summary>
    /// <param name="label">The name of the index in error messages.</param>
    /// <exception cref="CheckpointException">
    /// The file is not an index, or it names something else than safetensors files in its own folder.
    /// </exception>
    internal static List<string> ShardsOf(string path, string label) =>
        [.. WeightMap(path, label).Select(entry => entry.Value).Distinct(StringComparer.Ordinal)];

    /// <summary>Whether a file is a Python pickle, which executes code when it is loaded.</summary>
    internal static bool IsPickle(string file) => _pickleExtensions.Any(kind => file.EndsWith(kind, StringComparison.Ordinal));

    private static readonly string[] _pickleExtensions = [".bin", ".pt", ".pth", ".ckpt", ".pkl"];

    /// <exception cref="CheckpointException">The folder has no safetensors weights, or they are damaged.</exception>
    public static Checkpoint Open(string folder)
    {
        Checkpoint checkpoint = new(folder);
        try
        {
            if (File.Exists(Path.Combine(folder, SingleFileName))) checkpoint.AddFile(SingleFileName);
            else if (File.Exists(Path.Combine(folder, IndexFileName))) checkpoint.AddShards();
            else throw NoWeights(folder);
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
        foreach (SafetensorsFile file in _files) file.Dispose();
        _files.Clear();
    }

    private SafetensorsFile OpenFile(string name)
    {
        SafetensorsFile file = SafetensorsFile.Open(Path.Combine(Folder, name));
        _files.Add(file);
        return file;
    }

    private void AddFile(string name)
    {
        SafetensorsFile file = OpenFile(name);
        foreach (string tensor in file.Entries.Keys) _fileByTensor.Add(tensor, file);
    }

    private void AddShards()
    {
        string path = Path.Combine(Folder, IndexFileName);
        Dictionary<string, SafetensorsFile> shards = new(StringComparer.Ordinal);
        foreach (var (tensor, shard) in WeightMap(path, path))
        {
            if (!shards.TryGetValue(shard, out SafetensorsFile? file))
            {
                if (!File.Exists(Path.Combine(Folder, shard)))
                    throw Errors.CreateException(ErrorCode.BadCheckpoint,
                        $"{path} lists `{shard}` for `{tensor}`, and that file is missing.",
                        "The download is incomplete: fetch the missing shards.");
                shards.Add(shard, file = OpenFile(shard));
            }
            if (!file.Entries.ContainsKey(tensor))
                throw Errors.CreateException(ErrorCode.BadCheckpoint, $"{path} lists `{tensor}` in `{shard}`, which has no such tensor.");
            _fileByTensor.Add(tensor, file);
        }
    }

    /// <summary>The entries of an index: tensor names and the files in the same folder that contain them.</summary>
    private static List<KeyValuePair<string, string>> WeightMap(string path, string label)
    {
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
            if (shard.Length == 0 || shard.AsSpan().ContainsAny('/', '\\', '\0')
                || !shard.EndsWith(".safetensors", StringComparison.Ordinal))
                throw Errors.CreateException(ErrorCode.BadCheckpoint,
                    $"{label} names `{shard}`, which is not a safetensors file beside it.");
        return map;
    }

    private static Exception NoWeights(string folder) => MissingWeights.CreateException(folder,
        Directory.EnumerateFiles(folder).Select(file => Path.GetFileName(file)),
        "Convert it once where you trust it, with AutoModelForCausalLM.from_pretrained(...).save_pretrained(folder), "
        + "or take the model's revision on the hub that has model.safetensors (often refs/convert/safetensors).",
        "Name a folder as Hugging Face's save_pretrained writes it.");
}
