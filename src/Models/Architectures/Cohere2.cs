using Ndif.Models.Config;
using Ndif.Models.Layers;

namespace Ndif.Models.Architectures;

/// <summary>The config.json of a Command R7B or Command A.</summary>
/// <remarks>transformers/models/cohere2/configuration_cohere2.py</remarks>
public sealed record Cohere2Config(ConfigReader Json) : DecoderConfig(Json, new()
{
    VocabSize = 256000, MaxPositions = 8192, HiddenSize = 8192, IntermediateSize = 22528, NumLayers = 40, NumHeads = 64,
    NormEpsKey = "layer_norm_eps", NormEps = 1e-5, TieWordEmbeddings = true, PadTokenId = 0,
})
{
    public bool AttentionBias => Json.Flag("attention_bias", false);

    public double LogitScale => Json.Real("logit_scale", 0.0625);

    /// <summary>The window of each layer; null for the layers that see all tokens.</summary>
    public int?[] Windows => SlidingWindows.ReadAlternating(Json, NumLayers, Json.Size("sliding_window_pattern", 4));
}

/// <summary>Command R7B and Command A: a Command R in which layers with a window have positions and the others have none.</summary>
/// <remarks>transformers/models/cohere2/modeling_cohere2.py; Cohere, 2024</remarks>
[Architecture("Cohere2ForCausalLM", ModelType = "cohere2")]
public sealed class Cohere2ForCausalLM(ConfigReader json) : DecoderForCausalLM(Describe(new Cohere2Config(json)))
{
    private static DecoderDescription Describe(Cohere2Config config)
    {
        int?[] windows = config.Windows;
        return new(config, "Cohere2")
        {
            QkvBias = config.AttentionBias, OutputBias = config.AttentionBias, LayerNorms = LayerNorms.Shared,
            RotaryPairs = RotaryPairs.AdjacentRepeated, LogitMultiplier = config.LogitScale, PassesPositionIdsByPosition = true,
            Windows = windows, HasRotaryPositions = layer => windows[layer] is not null,
            CreateNormOfFamily = (size, axes) => new LayerNorm(
                size, config.NormEps, bias: false, axes: axes, className: "Cohere2LayerNorm", printsOptions: false),
        };
    }
}
