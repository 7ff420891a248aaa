using Ndif.Models.Config;
using Ndif.Models.Layers;

namespace Ndif.Models.Architectures;

/// <summary>The config.json of a GLM-4.7 Flash.</summary>
/// <remarks>transformers/models/glm4_moe_lite/configuration_glm4_moe_lite.py</remarks>
public sealed record Glm4MoeLiteConfig : DeepseekV3Config
{
    public Glm4MoeLiteConfig(ConfigReader json) : base(json, new()
    {
        VocabSize = 154880, MaxPositions = 202752, HiddenSize = 2048, IntermediateSize = 10240, NumLayers = 47, NumHeads = 20,
        NumKvHeads = 20, HeadDim = 64, NormEps = 1e-5, RopeTheta = 1_000_000, PadTokenId = 0,
    }) => Latent = LatentAttentionConfig.Read(json, queryRank: 768, nopeDim: 192, valueDim: 256);

    protected override int FirstDenseLayers => 1;

    public override ExpertRouting Routing => new(Json.Size("num_experts_per_tok", 4))
    {
        IsSigmoid = true, NormTopKProb = Json.Flag("norm_topk_prob", true), ScalingFactor = Json.Real("routed_scaling_factor", 1.8),
        NumGroups = Json.Size("n_group", 1), TopKGroups = Json.Size("topk_group", 1),
    };
}

/// <summary>GLM-4.7 Flash: a DeepSeek-V3 without groups of experts.</summary>
/// <remarks>transformers/models/glm4_moe_lite/modeling_glm4_moe_lite.py</remarks>
[Architecture("Glm4MoeLiteForCausalLM", ModelType = "glm4_moe_lite")]
public sealed class Glm4MoeLiteForCausalLM : DecoderForCausalLM
{
    private readonly string _nextTokenLayer;

    public Glm4MoeLiteForCausalLM(ConfigReader json) : this(new Glm4MoeLiteConfig(json)) { }

    private Glm4MoeLiteForCausalLM(Glm4MoeLiteConfig config) : base(config.Describe("Glm4MoeLite")) =>
        _nextTokenLayer = $"model.layers.{config.NumLayers}.";

    /// <summary>The layer for the prediction of several tokens, which published checkpoints have after the last.</summary>
    public override IReadOnlyList<string> IgnoredPrefixes => [_nextTokenLayer];
}
