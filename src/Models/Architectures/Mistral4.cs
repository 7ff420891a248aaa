using Ndif.Models.Config;
using Ndif.Models.Layers;

namespace Ndif.Models.Architectures;

/// <summary>The config.json of a Mistral 4.</summary>
/// <remarks>transformers/models/mistral4/configuration_mistral4.py</remarks>
public sealed record Mistral4Config : DeepseekV3Config
{
    public Mistral4Config(ConfigReader json) : base(json, new()
    {
        VocabSize = 131072, MaxPositions = 1048576, HiddenSize = 4096, IntermediateSize = 12288, NumLayers = 36, NumHeads = 32,
        NumKvHeads = 32, HeadDim = 128, PadTokenId = 11,
    }) => Latent = LatentAttentionConfig.Read(json, queryRank: 1024, nopeDim: 64);

    protected override int FirstDenseLayers => 0;

    public override double Scale => 1 / Math.Sqrt(Latent.QkDim);

    public override ExpertRouting Routing => new(Json.Size("num_experts_per_tok", 4))
    {
        NormTopKProb = Json.Flag("norm_topk_prob", true), ScalingFactor = Json.Real("routed_scaling_factor", 1),
        NumGroups = Json.Size("n_group", 1), TopKGroups = Json.Size("topk_group", 1), MaskedScore = 0,
    };
}

/// <summary>Mistral 4: a DeepSeek-V3 that routes by softmax and whose queries grow with their position.</summary>
/// <remarks>transformers/models/mistral4/modeling_mistral4.py; Mistral AI, 2026</remarks>
[Architecture("Mistral4ForCausalLM", ModelType = "mistral4")]
public sealed class Mistral4ForCausalLM(ConfigReader json) : DecoderForCausalLM(Describe(new Mistral4Config(json)))
{
    private static DecoderDescription Describe(Mistral4Config config) => config.Describe("Mistral4", hasCorrectionBias: false) with
    {
        QueryScaling = QueryScaling.Read(config.RopeParameters),
    };
}
