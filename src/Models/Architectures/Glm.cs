using Ndif.Models.Config;
using Ndif.Models.Layers;

namespace Ndif.Models.Architectures;

/// <summary>The config.json of a GLM or GLM-4.</summary>
/// <remarks>transformers/models/glm/configuration_glm.py, transformers/models/glm4/configuration_glm4.py</remarks>
public sealed record GlmConfig(ConfigReader Json) : DecoderConfig(Json, new()
{
    VocabSize = 151552, MaxPositions = 131072, HiddenSize = 4096, IntermediateSize = 13696, NumLayers = 40, NumHeads = 32, NumKvHeads = 2,
    HeadDim = 128, NormEps = 1.5625e-7, PartialRotaryFactor = 0.5, PadTokenId = 151329,
})
{
    public bool AttentionBias => Json.Flag("attention_bias", true);

    internal DecoderDescription Describe(string family) => new(this, family)
    {
        QkvBias = AttentionBias, RotaryPairs = RotaryPairs.Adjacent, IsPartialRotary = true,
        CreateMlp = (description, _) => new GateUpMlp($"{family}MLP", HiddenSize, IntermediateSize, description.CreateActivation()),
    };
}

/// <summary>GLM: biases of queries, keys and values, and rotated pairs of adjacent dimensions in half of each head.</summary>
/// <remarks>transformers/models/glm/modeling_glm.py; GLM Team, ChatGLM, 2024</remarks>
[Architecture("GlmForCausalLM", ModelType = "glm")]
public sealed class GlmForCausalLM(ConfigReader json) : DecoderForCausalLM(new GlmConfig(json).Describe("Glm"));

/// <summary>GLM-4: a GLM with norms after attention and mlp too.</summary>
/// <remarks>transformers/models/glm4/modeling_glm4.py</remarks>
[Architecture("Glm4ForCausalLM", ModelType = "glm4")]
public sealed class Glm4ForCausalLM(ConfigReader json) : DecoderForCausalLM(new GlmConfig(json).Describe("Glm4") with
{
    LayerNorms = new(
        (NormPosition.BeforeAttention, "input_layernorm"), (NormPosition.BeforeMlp, "post_attention_layernorm"),
        (NormPosition.AfterAttention, "post_self_attn_layernorm"), (NormPosition.AfterMlp, "post_mlp_layernorm")),
});
