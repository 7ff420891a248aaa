using System.Text.Json;
using Ndif.Models.Files;
using static TorchSharp.torch;

namespace Ndif.Cli.Parity;

/// <summary>The reference outputs beside a checkpoint: golden.json and golden.safetensors (golden/README.md).</summary>
internal sealed class Golden : IDisposable
{
    private readonly SafetensorsFile _tensors;
    private readonly List<Tensor> _read = [];

    public Golden(string folder)
    {
        Folder = folder;
        Json = JsonDocument.Parse(File.ReadAllBytes(Path.Combine(folder, "golden.json"))).RootElement;
        _tensors = SafetensorsFile.Open(Path.Combine(folder, "golden.safetensors"));
    }

    public string Folder { get; }

    public JsonElement Json { get; }

    public IEnumerable<string> Names => _tensors.Entries.Keys;

    /// <summary>The tensor, or null if the reference has none of this name. It lives as long as this object.</summary>
    public Tensor? Find(string name)
    {
        if (!_tensors.Entries.ContainsKey(name)) return null;
        Tensor tensor = _tensors.Read(name);
        _read.Add(tensor);
        return tensor;
    }

    public Tensor this[string name] => Find(name) ?? throw new KeyNotFoundException($"golden.safetensors has no `{name}`.");

    public void Dispose()
    {
        foreach (Tensor tensor in _read) tensor.Dispose();
        _tensors.Dispose();
    }
}
