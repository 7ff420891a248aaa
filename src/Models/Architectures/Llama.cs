using Ndif.Models.Config;
using Ndif.Models.Layers;

namespace Ndif.Models.Architectures;

/// <summary>The config.json of a Llama.</summary>
/// <remarks>transformers/models/llama/configuration_llama.py</remarks>
public sealed record LlamaConfig(ConfigReader Json) : DecoderConfig(Json, new()
{
    VocabSize = 32000, MaxPositions = 2048, HiddenSize = 4096, IntermediateSize = 11008, NumLayers = 32, NumHeads = 32,
})
{
    public bool AttentionBias => Json.Flag("attention_bias", false);

    public bool MlpBias => Json.Flag("mlp_bias", false);
}

/// <summary>Llama 1 to 3: rotary positions, RMS norms before attention and mlp, gated mlp, shared key-value heads.</summary>
/// <remarks>transformers/models/llama/modeling_llama.py; Touvron et al., 2023</remarks>
[Architecture("LlamaForCausalLM", ModelType = "llama")]
public sealed class LlamaForCausalLM(ConfigReader json) : DecoderForCausalLM(Describe(new LlamaConfig(json)))
{
    private static DecoderDescription Describe(LlamaConfig config) => new(config, "Llama")
    {
        QkvBias = config.AttentionBias, OutputBias = config.AttentionBias, MlpBias = config.MlpBias,
    };
}
