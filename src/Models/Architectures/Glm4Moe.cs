using Ndif.Models.Config;
using Ndif.Models.Layers;

namespace Ndif.Models.Architectures;

/// <summary>The config.json of a GLM-4.5.</summary>
/// <remarks>transformers/models/glm4_moe/configuration_glm4_moe.py</remarks>
public sealed record Glm4MoeConfig(ConfigReader Json) : DecoderConfig(Json, new()
{
    VocabSize = 151552, MaxPositions = 131072, HiddenSize = 4096, IntermediateSize = 10944, NumLayers = 46, NumHeads = 96, NumKvHeads = 8,
    NormEps = 1e-5, PartialRotaryFactor = 0.5,
})
{
    public bool AttentionBias => Json.Flag("attention_bias", false);

    public int NumRoutedExperts => Json.Size("n_routed_experts", 128);

    public int MoeIntermediateSize => Json.Size("moe_intermediate_size", 1408);

    public bool UseQkNorm => Json.Flag("use_qk_norm", false);

    public ExpertRouting Routing => new(Json.Size("num_experts_per_tok", 8))
    {
        IsSigmoid = true, NormTopKProb = Json.Flag("norm_topk_prob", true), ScalingFactor = Json.Real("routed_scaling_factor", 1),
        NumGroups = Json.Size("n_group", 1), TopKGroups = Json.Size("topk_group", 1),
    };
}

/// <summary>GLM-4.5: positions rotate half of each head, and sigmoid routing with a bias for the choice.</summary>
/// <remarks>transformers/models/glm4_moe/modeling_glm4_moe.py; GLM Team, GLM-4.5, 2025</remarks>
[Architecture("Glm4MoeForCausalLM", ModelType = "glm4_moe")]
public sealed class Glm4MoeForCausalLM : DecoderForCausalLM
{
    private readonly string _nextTokenLayer;

    public Glm4MoeForCausalLM(ConfigReader json) : this(new Glm4MoeConfig(json)) { }

    private Glm4MoeForCausalLM(Glm4MoeConfig config) : base(Describe(config)) => _nextTokenLayer = $"model.layers.{config.NumLayers}.";

    /// <summary>The layer for the prediction of several tokens, which published checkpoints have after the last.</summary>
    public override IReadOnlyList<string> IgnoredPrefixes => [_nextTokenLayer];

    private static DecoderDescription Describe(Glm4MoeConfig config) => new(config, "Glm4Moe")
    {
        QkvBias = config.AttentionBias, IsPartialRotary = true,
        QkNorms = config.UseQkNorm ? QkNorms.EachHeadAfterProjections : QkNorms.None,
        CreateMlp = (description, layer) => layer >= config.Json.Integer("first_k_dense_replace", 1)
            ? new SharedExpertsMoe("Glm4MoeMoE",
                new Experts("Glm4MoeNaiveMoe", config.NumRoutedExperts, config.HiddenSize, config.MoeIntermediateSize,
                    description.CreateActivation(), ("gate_proj", "up_proj", "down_proj")),
                new LinearRouter("Glm4MoeTopkRouter", config.NumRoutedExperts, config.HiddenSize, hasCorrectionBias: true),
                CreateMlp(description, config.MoeIntermediateSize * config.Json.Size("n_shared_experts", 1)), config.Routing)
            : CreateMlp(description, config.IntermediateSize),
    };

    private static GatedMlp CreateMlp(DecoderDescription description, int intermediateSize) =>
        new("Glm4MoeMLP", description.Config.HiddenSize, intermediateSize, description.CreateActivation());
}
