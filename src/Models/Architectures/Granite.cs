using Ndif.Models.Config;
using Ndif.Models.Layers;

namespace Ndif.Models.Architectures;

/// <summary>The config.json of a Granite.</summary>
/// <remarks>transformers/models/granite/configuration_granite.py</remarks>
public record GraniteConfig : DecoderConfig
{
    public GraniteConfig(ConfigReader json) : base(json, new()
    {
        VocabSize = 32000, MaxPositions = 2048, HiddenSize = 4096, IntermediateSize = 11008, NumLayers = 32, NumHeads = 32,
    }) { }

    public bool AttentionBias => Json.Flag("attention_bias", false);

    public bool MlpBias => Json.Flag("mlp_bias", false);

    /// <summary>The options of all Granites: factors of embeddings, scores, residual stream and logits.</summary>
    internal DecoderDescription Describe(string family) => new(this, family)
    {
        QkvBias = AttentionBias, OutputBias = AttentionBias, MlpBias = MlpBias,
        EmbeddingMultiplier = Json.Real("embedding_multiplier", 1.0), Scale = Json.Real("attention_multiplier", 1.0),
        ResidualMultiplier = Json.Real("residual_multiplier", 1.0), LogitDivisor = Json.Real("logits_scaling", 1.0),
    };
}

/// <summary>Granite: a Llama with factors for embeddings, attention scores, residual stream and logits.</summary>
/// <remarks>transformers/models/granite/modeling_granite.py; Granite Team, 2024</remarks>
[Architecture("GraniteForCausalLM", ModelType = "granite")]
public sealed class GraniteForCausalLM(ConfigReader json) : DecoderForCausalLM(new GraniteConfig(json).Describe("Granite"));
