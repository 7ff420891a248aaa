using System.Text.Json;
using Ndif.Models.Files;
using static TorchSharp.torch;

namespace Ndif.Cli.Parity;

/// <summary>
/// The reference outputs of a checkpoint, golden.json and golden.safetensors, which Hugging Face transformers produced.
/// </summary>
internal sealed class GoldenOutputs : IDisposable
{
    private readonly SafetensorsFile _tensors;
    private readonly List<Tensor> _ownedTensors = [];

    public GoldenOutputs(string folder)
    {
        Folder = folder;
        Json = JsonDocument.Parse(File.ReadAllBytes(Path.Combine(folder, "golden.json"))).RootElement;
        _tensors = SafetensorsFile.Open(Path.Combine(folder, "golden.safetensors"));
    }

    public string Folder { get; }

    public JsonElement Json { get; }

    public IEnumerable<string> Names => _tensors.Entries.Keys;

    /// <summary>Reads a tensor. Returns null if the file has none of this name. This object owns the tensor.</summary>
    public Tensor? Find(string name)
    {
        if (!_tensors.Entries.ContainsKey(name)) return null;
        Tensor tensor = _tensors.Read(name);
        _ownedTensors.Add(tensor);
        return tensor;
    }

    public Tensor this[string name] => Find(name) ?? throw new KeyNotFoundException($"golden.safetensors has no `{name}`.");

    public void Dispose()
    {
        foreach (Tensor tensor in _ownedTensors) tensor.Dispose();
        _tensors.Dispose();
    }
}
