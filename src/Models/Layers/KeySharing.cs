using Ndif.Models.Config;

namespace Ndif.Models.Layers;

/// <summary>The type of each layer, and which layers attend to the keys and values of an earlier layer of their type.</summary>
/// <remarks>layer_types and num_kv_shared_layers in transformers/models/gemma3n/configuration_gemma3n.py</remarks>
internal sealed class KeySharing
{
    private readonly int _firstShared;

    /// <param name="layerTypes">"sliding_attention" or "full_attention", for each layer.</param>
    /// <param name="numShared">The number of last layers without keys of their own.</param>
    public KeySharing(ConfigReader json, IReadOnlyList<string> layerTypes, long numShared)
    {
        LayerTypes = layerTypes;
        if (numShared < 0 || numShared >= layerTypes.Count)
            throw json.InvalidValue("num_kv_shared_layers", $"must be from 0 to {layerTypes.Count - 1}", $"{numShared}");
        _firstShared = layerTypes.Count - (int)numShared;
        if (layerTypes.Skip(_firstShared).Except(layerTypes.Take(_firstShared)).FirstOrDefault() is { } alone)
            throw json.InvalidValue("num_kv_shared_layers", $"must leave a layer of the type `{alone}` before those that share",
                $"{numShared}");
    }

    public IReadOnlyList<string> LayerTypes { get; }

    /// <summary>Whether there are layers without keys of their own.</summary>
    public bool Any => _firstShared < LayerTypes.Count;

    /// <summary>Whether a layer has no keys of its own.</summary>
    public bool IsReader(int layer) => layer >= _firstShared;

    /// <summary>Whether later layers have the keys of this one.</summary>
    public bool IsSource(int layer) => Any && !IsReader(layer)
        && !LayerTypes.Take(_firstShared).Skip(layer + 1).Contains(LayerTypes[layer]);

    /// <summary>The ends of the names of tensors that published checkpoints have for layers without keys of their own.</summary>
    public IReadOnlyList<string> UnusedTensors => [.. Enumerable.Range(_firstShared, LayerTypes.Count - _firstShared).SelectMany(layer =>
        (string[])[.. ((string[])["k_proj.weight", "k_proj.bias", "v_proj.weight", "v_proj.bias", "k_norm.weight", "v_norm.weight"])
            .Select(name => $"layers.{layer}.self_attn.{name}")])];

    /// <summary>Whether a layer has a window.</summary>
    public bool IsSliding(int layer) => LayerTypes[layer] == "sliding_attention";

    /// <summary>The window of each layer; null for all tokens.</summary>
    public int?[] Windows(int window) => [.. LayerTypes.Select((_, layer) => IsSliding(layer) ? window : (int?)null)];
}
