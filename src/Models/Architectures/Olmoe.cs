using Ndif.Models.Config;
using Ndif.Models.Layers;

namespace Ndif.Models.Architectures;

/// <summary>The config.json of an OLMoE.</summary>
/// <remarks>transformers/models/olmoe/configuration_olmoe.py</remarks>
public sealed record OlmoeConfig(ConfigReader Json) : DecoderConfig(Json, new()
{
    VocabSize = 50304, MaxPositions = 4096, HiddenSize = 2048, IntermediateSize = 2048, NumLayers = 16, NumHeads = 16, NormEps = 1e-5,
    PadTokenId = 1,
})
{
    public bool AttentionBias => Json.Flag("attention_bias", false);

    /// <summary>The limit of queries, keys and values; null for none.</summary>
    public double? ClipQkv => Json.Has("clip_qkv") ? Json.Real("clip_qkv") : null;
}

/// <summary>OLMoE: norms over all queries and all keys, and experts in each layer.</summary>
/// <remarks>transformers/models/olmoe/modeling_olmoe.py; Muennighoff et al., OLMoE, 2024</remarks>
[Architecture("OlmoeForCausalLM", ModelType = "olmoe")]
public sealed class OlmoeForCausalLM(ConfigReader json) : DecoderForCausalLM(Describe(new OlmoeConfig(json)))
{
    private static DecoderDescription Describe(OlmoeConfig config)
    {
        int numExperts = config.Json.Size("num_experts", 64);
        return new(config, "Olmoe")
        {
            QkvBias = config.AttentionBias, OutputBias = config.AttentionBias, ClipQkv = config.ClipQkv, QkNorms = QkNorms.AllHeads,
            PassesPositionIdsByPosition = true, PassesRouterLogits = true,
            CreateMlp = (description, _) => new SparseMoeBlock("OlmoeSparseMoeBlock",
                new TopKRouter("OlmoeTopKRouter", numExperts, config.HiddenSize, config.Json.Size("num_experts_per_tok", 8),
                    config.Json.Flag("norm_topk_prob", false), castsToModelType: true),
                new Experts("OlmoeExperts", numExperts, config.HiddenSize, config.IntermediateSize, description.CreateActivation(),
                    ("gate_proj", "up_proj", "down_proj"))),
        };
    }
}
