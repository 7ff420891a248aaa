using Ndif.Models.Config;
using Ndif.Models.Layers;

namespace Ndif.Models.Architectures;

/// <summary>The config.json of an OLMo.</summary>
/// <remarks>transformers/models/olmo/configuration_olmo.py</remarks>
public sealed record OlmoConfig(ConfigReader Json) : DecoderConfig(Json, new()
{
    VocabSize = 50304, MaxPositions = 2048, HiddenSize = 4096, IntermediateSize = 11008, NumLayers = 32, NumHeads = 32, PadTokenId = 1,
})
{
    public bool AttentionBias => Json.Flag("attention_bias", false);

    /// <summary>The limit of queries, keys and values; null for none.</summary>
    public double? ClipQkv => Json.Has("clip_qkv") ? Json.Real("clip_qkv") : null;
}

/// <summary>OLMo: layer norms without weights, and limits for queries, keys and values.</summary>
/// <remarks>transformers/models/olmo/modeling_olmo.py; Groeneveld et al., 2024</remarks>
[Architecture("OlmoForCausalLM", ModelType = "olmo")]
public sealed class OlmoForCausalLM(ConfigReader json) : DecoderForCausalLM(Describe(new OlmoConfig(json)))
{
    private static DecoderDescription Describe(OlmoConfig config) => new(config, "Olmo")
    {
        QkvBias = config.AttentionBias, OutputBias = config.AttentionBias, ClipQkv = config.ClipQkv, RotatesInFloat32 = true,
        CreateNormOfFamily = static (size, axes) => new LayerNorm(
            size, axes: axes, elementwiseAffine: false, className: "OlmoLayerNorm", printsOptions: false),
    };
}
