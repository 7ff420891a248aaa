using Ndif.Models.Config;
using Ndif.Models.CpuKernels;
using Ndif.Models.Layers;

namespace Ndif.Models.Architectures;

/// <summary>The config.json of an OLMo 2.</summary>
/// <remarks>transformers/models/olmo2/configuration_olmo2.py</remarks>
public sealed record Olmo2Config(ConfigReader Json) : DecoderConfig(Json, new()
{
    VocabSize = 50304, MaxPositions = 2048, HiddenSize = 4096, IntermediateSize = 11008, NumLayers = 32, NumHeads = 32, NormEps = 1e-5,
    PadTokenId = 1,
})
{
    public bool AttentionBias => Json.Flag("attention_bias", false);
}

/// <summary>OLMo 2: norms after attention and mlp rather than before, and on all queries and all keys together.</summary>
/// <remarks>transformers/models/olmo2/modeling_olmo2.py; OLMo team, 2025</remarks>
[Architecture("Olmo2ForCausalLM", ModelType = "olmo2")]
public sealed class Olmo2ForCausalLM(ConfigReader json) : DecoderForCausalLM(Describe(new Olmo2Config(json)))
{
    private static DecoderDescription Describe(Olmo2Config config) => new(config, "Olmo2")
    {
        QkvBias = config.AttentionBias, OutputBias = config.AttentionBias, Norm = NormKind.RmsRoundedOnce, LayerNorms = LayerNorms.After,
        QkNorms = QkNorms.AllHeads, RotatesInFloat32 = true,
    };
}
