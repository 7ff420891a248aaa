using Ndif.Models.Config;
using static TorchSharp.torch;

namespace Ndif.Models.Layers;

/// <summary>Which layers of a model attend to a sliding window only.</summary>
/// <remarks>layer_types in transformers/models/qwen2/configuration_qwen2.py and its relatives</remarks>
public static partial class SlidingWindows
{
    /// <summary>For each layer the number of tokens that a token attends to, itself included; null for all tokens.</summary>
    /// <param name="isSliding">Whether a layer slides (config, layer) if the file has no layer_types.</param>
    public static int?[] Read(ConfigReader config, Func<ConfigReader, int, bool> isSliding)
    {
        int layers = config.Size("num_hidden_layers", 32);
        IReadOnlyList<string> types = LayerTypes(config, layers);
        if (!config.Flag("use_sliding_window", false) || (config.Has("sliding_window") && config.Integer("sliding_window") == 0))
            return new int?[layers];
        if (config.Keys.Contains("sliding_window") && !config.Has("sliding_window")) return new int?[layers];
        int window = config.Size("sliding_window", 4096);
        return [.. Enumerable.Range(0, layers).Select(layer =>
            (types.Count > 0 ? types[layer] == "sliding_attention" : isSliding(config, layer)) ? window : (int?)null)];
    }

    /// <summary><see cref="Read"/> for Gemma: without layer_types, all layers have a window except the last of each period.</summary>
    public static int?[] ReadAlternating(ConfigReader config, int numLayers, int period)
    {
        IReadOnlyList<string> types = LayerTypes(config, numLayers);
        int window = config.Size("sliding_window", 4096);
        return [.. Enumerable.Range(0, numLayers).Select(layer =>
            (types.Count > 0 ? types[layer] == "sliding_attention" : (layer + 1) % period != 0) ? window : (int?)null)];
    }

    /// <summary>Each layer's type; empty if the file does not say.</summary>
    public static IReadOnlyList<string> LayerTypes(ConfigReader config, int layers)
    {
        IReadOnlyList<string> types = config.Texts("layer_types");
        if (types.Count > 0 && types.Count != layers)
            throw config.InvalidValue("layer_types", $"must name the type of each of {layers} layers", $"{types.Count} of them");
        return types.FirstOrDefault(type => type is not ("full_attention" or "sliding_attention")) is not { } unknown ? types
            : throw config.InvalidValue("layer_types",
                "must have types that are known here (full_attention, sliding_attention)", $"`{unknown}`");
    }

    /// <summary>The layers from max_window_layers on.</summary>
    public static bool IsAfterMaxWindowLayers(ConfigReader config, int layer) => layer >= config.Integer("max_window_layers", 28);

    /// <summary>The first, third, ... of the layers before max_window_layers, in Qwen 2 with experts.</summary>
    public static bool IsEvenBeforeMaxWindowLayers(ConfigReader config, int layer) =>
        layer % 2 == 0 && layer < config.Integer("max_window_layers", 28);

    /// <summary>The mask of each layer; layers with the same window share one.</summary>
    /// <param name="attentionMask">[batch, kvSeq]</param>
    /// <returns>layers x [batch, 1, seq, kvSeq]</returns>
    public static Tensor[] Masks(int?[] windows, Tensor attentionMask, long seqLen, ScalarType dtype)
    {
        Dictionary<int, Tensor> made = []; // by window, 0 for none
        foreach (int? window in windows)
            if (!made.ContainsKey(window ?? 0)) made.Add(window ?? 0, AttentionMask.Causal(attentionMask, seqLen, dtype, window));
        return [.. windows.Select(window => made[window ?? 0])];
    }
}
