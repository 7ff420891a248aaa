using Ndif.Models.Config;
using Ndif.Models.Layers;

namespace Ndif.Models.Architectures;

/// <summary>The config.json of a Qwen 2 with experts.</summary>
/// <remarks>transformers/models/qwen2_moe/configuration_qwen2_moe.py</remarks>
public sealed record Qwen2MoeConfig(ConfigReader Json) : DecoderConfig(Json, new()
{
    VocabSize = 151936, MaxPositions = 32768, HiddenSize = 2048, IntermediateSize = 5632, NumLayers = 24, NumHeads = 16, NumKvHeads = 16,
})
{
    public bool QkvBias => Json.Flag("qkv_bias", true);

    public int NumExperts => Json.Size("num_experts", 60);

    /// <summary>The number of experts per token (num_experts_per_tok).</summary>
    public int NumExpertsPerToken => Json.Size("num_experts_per_tok", 4);

    /// <summary>The weights of the chosen experts add up to 1.</summary>
    public bool NormTopKProb => Json.Flag("norm_topk_prob", false);

    public int MoeIntermediateSize => Json.Size("moe_intermediate_size", 1408);

    public int SharedExpertIntermediateSize => Json.Size("shared_expert_intermediate_size", 5632);

    /// <summary>True for a layer with experts; the others have one mlp.</summary>
    public bool IsSparse(int layer) =>
        (layer + 1) % Json.Size("decoder_sparse_step", 1) == 0 && !Json.Ids("mlp_only_layers").Contains(layer);
}

/// <summary>Qwen 1.5 and 2 with experts: a router chooses a few experts for each token, and each layer has a shared expert.</summary>
/// <remarks>transformers/models/qwen2_moe/modeling_qwen2_moe.py</remarks>
[Architecture("Qwen2MoeForCausalLM", ModelType = "qwen2_moe")]
public sealed class Qwen2MoeForCausalLM(ConfigReader json) : DecoderForCausalLM(Describe(new Qwen2MoeConfig(json)))
{
    private static DecoderDescription Describe(Qwen2MoeConfig config) => new(config, "Qwen2Moe")
    {
        QkvBias = config.QkvBias, PassesPositionIdsByPosition = true, PassesRouterLogits = true,
        Windows = SlidingWindows.Read(config.Json, SlidingWindows.IsEvenBeforeMaxWindowLayers),
        CreateMlp = (description, layer) => config.IsSparse(layer)
            ? new SparseMoeBlock("Qwen2MoeSparseMoeBlock",
                new TopKRouter("Qwen2MoeTopKRouter", config.NumExperts, config.HiddenSize, config.NumExpertsPerToken,
                    config.NormTopKProb, castsToModelType: true),
                new Experts("Qwen2MoeExperts", config.NumExperts, config.HiddenSize, config.MoeIntermediateSize,
                    description.CreateActivation(), ("gate_proj", "up_proj", "down_proj")),
                sharedExpert: CreateMlp(description, config.SharedExpertIntermediateSize), hiddenSize: config.HiddenSize)
            : CreateMlp(description, config.IntermediateSize),
    };

    private static GatedMlp CreateMlp(DecoderDescription description, int intermediateSize) =>
        new("Qwen2MoeMLP", description.Config.HiddenSize, intermediateSize, description.CreateActivation());
}
