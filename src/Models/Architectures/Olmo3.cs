using Ndif.Models.Config;
using Ndif.Models.CpuKernels;
using Ndif.Models.Layers;

namespace Ndif.Models.Architectures;

/// <summary>The config.json of an OLMo 3.</summary>
/// <remarks>transformers/models/olmo3/configuration_olmo3.py</remarks>
public sealed record Olmo3Config(ConfigReader Json) : DecoderConfig(Json, new()
{
    VocabSize = 50304, MaxPositions = 2048, HiddenSize = 4096, IntermediateSize = 11008, NumLayers = 32, NumHeads = 32, NormEps = 1e-5,
    PadTokenId = 1,
})
{
    public bool AttentionBias => Json.Flag("attention_bias", false);
}

/// <summary>OLMo 3: an OLMo 2 in which three of four layers attend to a window.</summary>
/// <remarks>transformers/models/olmo3/modeling_olmo3.py; OLMo team, 2025</remarks>
[Architecture("Olmo3ForCausalLM", ModelType = "olmo3")]
public sealed class Olmo3ForCausalLM(ConfigReader json) : DecoderForCausalLM(Describe(new Olmo3Config(json)))
{
    private static DecoderDescription Describe(Olmo3Config config) => new(config, "Olmo3")
    {
        QkvBias = config.AttentionBias, OutputBias = config.AttentionBias, Norm = NormKind.RmsRoundedOnce, LayerNorms = LayerNorms.After,
        QkNorms = QkNorms.AllHeads, RotatesInFloat32 = true, PassesPositionIdsByPosition = true, PassesUseCache = false,
        PassesUseCacheToAttention = true,
        Windows = SlidingWindows.ReadAlternating(config.Json, config.NumLayers, period: 4),
    };
}
