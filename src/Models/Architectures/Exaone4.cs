using Ndif.Models.Config;
using Ndif.Models.Layers;

namespace Ndif.Models.Architectures;

/// <summary>The config.json of an EXAONE 4.</summary>
/// <remarks>transformers/models/exaone4/configuration_exaone4.py</remarks>
public record Exaone4Config : DecoderConfig
{
    public Exaone4Config(ConfigReader json) : base(json, new()
    {
        VocabSize = 102400, MaxPositions = 2048, HiddenSize = 4096, IntermediateSize = 16384, NumLayers = 32, NumHeads = 32, NormEps = 1e-5,
    })
    {
        IReadOnlyList<string> types = SlidingWindows.LayerTypes(json, NumLayers);
        int? window = json.IsNull("sliding_window") ? null : json.Size("sliding_window", 4096);
        string pattern = json.TextOrNull("sliding_window_pattern") ?? "";
        int period = pattern.Length > 0 ? pattern.Length : json.Size("sliding_window_pattern", 4);
        Windows = [.. Enumerable.Range(0, NumLayers).Select(layer => IsSliding(layer) ? window : null)];

        // without layer_types the last layer of each period and the last of all see all tokens
        bool IsSliding(int layer) => types.Count > 0 ? types[layer] == "sliding_attention"
            : (layer + 1) % period != 0 && layer < NumLayers - 1;
    }

    /// <summary>The window of each layer; null for a layer that sees all tokens.</summary>
    public int?[] Windows { get; }

    /// <summary>Layers with a window have positions; all have, if no layer has a window.</summary>
    internal DecoderDescription Describe(string family) => new(this, family)
    {
        Windows = Windows, HasRotaryPositions = layer => Windows[layer] is not null || !Json.Has("sliding_window"),
        QkNorms = QkNorms.EachHeadAfterSplit, LayerNorms = LayerNorms.After, PassesPositionIdsByPosition = true,
    };
}

/// <summary>EXAONE 4: norms after attention and mlp, positions in the layers with a window only.</summary>
/// <remarks>transformers/models/exaone4/modeling_exaone4.py; LG AI Research, EXAONE 4.0, 2025</remarks>
[Architecture("Exaone4ForCausalLM", ModelType = "exaone4")]
public sealed class Exaone4ForCausalLM(ConfigReader json) : DecoderForCausalLM(new Exaone4Config(json).Describe("Exaone4"));
