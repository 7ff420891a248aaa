using Ndif.Models.Config;
using Ndif.Models.Layers;

namespace Ndif.Models.Architectures;

/// <summary>The config.json of a Mixtral.</summary>
/// <remarks>transformers/models/mixtral/configuration_mixtral.py</remarks>
public sealed record MixtralConfig(ConfigReader Json) : DecoderConfig(Json, new()
{
    VocabSize = 32000, MaxPositions = 131072, HiddenSize = 4096, IntermediateSize = 14336, NumLayers = 32, NumHeads = 32, NumKvHeads = 8,
    NormEps = 1e-5, RopeTheta = 1_000_000,
})
{
    public int NumLocalExperts => Json.Size("num_local_experts", 8);

    /// <summary>The number of experts per token (num_experts_per_tok).</summary>
    public int NumExpertsPerToken => Json.Size("num_experts_per_tok", 2);

    /// <summary>A token attends to itself and the SlidingWindow - 1 tokens before it; null for all tokens.</summary>
    public int? SlidingWindow => Json.Has("sliding_window") ? Json.Size("sliding_window") : null;
}

/// <summary>Mixtral: a Mistral with several mlps in each layer, of which the router chooses a few for each token.</summary>
/// <remarks>transformers/models/mixtral/modeling_mixtral.py; Jiang et al., 2024</remarks>
[Architecture("MixtralForCausalLM", ModelType = "mixtral")]
public sealed class MixtralForCausalLM(ConfigReader json) : DecoderForCausalLM(Describe(new MixtralConfig(json)))
{
    /// <summary>Checkpoints have the name that the block had before transformers 5.</summary>
    public override string ToTreeName(string tensorName) => tensorName.Replace(".block_sparse_moe.", ".mlp.", StringComparison.Ordinal);

    private static DecoderDescription Describe(MixtralConfig config) => new(config, "Mixtral")
    {
        Window = config.SlidingWindow, PassesRouterLogits = true,
        CreateMlp = (description, _) => new SparseMoeBlock("MixtralSparseMoeBlock",
            new TopKRouter("MixtralTopKRouter", config.NumLocalExperts, config.HiddenSize, config.NumExpertsPerToken,
                normTopKProb: true, castsToModelType: false),
            new Experts("MixtralExperts", config.NumLocalExperts, config.HiddenSize, config.IntermediateSize,
                description.CreateActivation(), ("w1", "w3", "w2"))),
    };
}
