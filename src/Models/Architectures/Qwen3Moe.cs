using Ndif.Models.Config;
using Ndif.Models.Layers;

namespace Ndif.Models.Architectures;

/// <summary>The config.json of a Qwen 3 with experts.</summary>
/// <remarks>transformers/models/qwen3_moe/configuration_qwen3_moe.py</remarks>
public sealed record Qwen3MoeConfig(ConfigReader Json) : DecoderConfig(Json, new()
{
    VocabSize = 151936, MaxPositions = 32768, HiddenSize = 2048, IntermediateSize = 6144, NumLayers = 24, NumHeads = 32, NumKvHeads = 4,
})
{
    public bool AttentionBias => Json.Flag("attention_bias", false);

    public int NumExperts => Json.Size(Json.Has("num_local_experts") ? "num_local_experts" : "num_experts", 128);

    /// <summary>The number of experts per token (num_experts_per_tok).</summary>
    public int NumExpertsPerToken => Json.Size("num_experts_per_tok", 8);

    /// <summary>The weights of the chosen experts add up to 1.</summary>
    public bool NormTopKProb => Json.Flag("norm_topk_prob", false);

    public int MoeIntermediateSize => Json.Size("moe_intermediate_size", 768);

    /// <summary>A token attends to itself and the SlidingWindow - 1 tokens before it; null for all tokens.</summary>
    public int? SlidingWindow =>
        Json.Flag("use_sliding_window", false) && !Json.IsNull("sliding_window") ? Json.Size("sliding_window", 4096) : null;

    /// <summary>True for a layer with experts; the others have one mlp.</summary>
    public bool IsSparse(int layer) =>
        (layer + 1) % Json.Size("decoder_sparse_step", 1) == 0 && !Json.Ids("mlp_only_layers").Contains(layer);
}

/// <summary>Qwen 3 with experts: several mlps in each layer, of which the router chooses a few for each token.</summary>
/// <remarks>transformers/models/qwen3_moe/modeling_qwen3_moe.py; Yang et al., 2025</remarks>
[Architecture("Qwen3MoeForCausalLM", ModelType = "qwen3_moe")]
public sealed class Qwen3MoeForCausalLM(ConfigReader json) : DecoderForCausalLM(Describe(new Qwen3MoeConfig(json)))
{
    private static DecoderDescription Describe(Qwen3MoeConfig config) => new(config, "Qwen3Moe")
    {
        QkvBias = config.AttentionBias, OutputBias = config.AttentionBias, QkNorms = QkNorms.EachHead, PassesRouterLogits = true,
        Window = config.SlidingWindow,
        CreateMlp = (description, layer) => config.IsSparse(layer)
            ? new SparseMoeBlock("Qwen3MoeSparseMoeBlock",
                new TopKRouter("Qwen3MoeTopKRouter", config.NumExperts, config.HiddenSize, config.NumExpertsPerToken,
                    config.NormTopKProb, castsToModelType: true),
                new Experts("Qwen3MoeExperts", config.NumExperts, config.HiddenSize, config.MoeIntermediateSize,
                    description.CreateActivation(), ("gate_proj", "up_proj", "down_proj")),
                isExpertsFirst: true)
            : new GatedMlp("Qwen3MoeMLP", config.HiddenSize, config.IntermediateSize, description.CreateActivation()),
    };
}
