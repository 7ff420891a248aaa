using Ndif.Models.Config;
using Ndif.Models.CpuKernels;
using Ndif.Models.Layers;
using static TorchSharp.torch;

namespace Ndif.Models.Architectures;

/// <summary>The config.json of a Phi-3.5-MoE.</summary>
/// <remarks>transformers/models/phimoe/configuration_phimoe.py</remarks>
public sealed record PhimoeConfig(ConfigReader Json) : DecoderConfig(Json, new()
{
    VocabSize = 32064, MaxPositions = 131072, HiddenSize = 4096, IntermediateSize = 6400, NumLayers = 32, NumHeads = 32, NumKvHeads = 8,
    NormEps = 1e-5, RopeTheta = 1_000_000,
})
{
    public bool AttentionBias => Json.Flag("attention_bias", false);

    public bool LmHeadBias => Json.Flag("lm_head_bias", false);

    public int NumLocalExperts => Json.Size("num_local_experts", 16);

    public double RouterJitterNoise => Json.Real("router_jitter_noise", 0.01);

    public int? SlidingWindow => Json.Has("sliding_window") ? Json.Size("sliding_window") : null;
}

/// <summary>Phi-3.5-MoE: layer norms, biases, and a router that chooses two experts one after the other.</summary>
/// <remarks>transformers/models/phimoe/modeling_phimoe.py; Liu et al., GRIN, 2024</remarks>
[Architecture("PhimoeForCausalLM", ModelType = "phimoe")]
public sealed class PhimoeForCausalLM(ConfigReader json) : DecoderForCausalLM(Describe(new PhimoeConfig(json)))
{
    /// <summary>Checkpoints have the names that block and router had before transformers 5.</summary>
    public override string ToTreeName(string tensorName) => tensorName
        .Replace(".block_sparse_moe.gate.", ".mlp.router.", StringComparison.Ordinal)
        .Replace(".block_sparse_moe.", ".mlp.", StringComparison.Ordinal);

    private static DecoderDescription Describe(PhimoeConfig config)
    {
        if (config.Json.Integer("num_experts_per_tok", 2) is not 2 and var chosen)
            throw config.Json.InvalidValue("num_experts_per_tok", "must be 2, as the router chooses two", $"{chosen}");
        return new(config, "Phimoe")
        {
            Norm = NormKind.Layer, QkvBias = config.AttentionBias, OutputBias = config.AttentionBias, HeadBias = config.LmHeadBias,
            Window = config.SlidingWindow, PassesRouterLogits = true,
            CreateMlp = (description, _) => new SparseMoeBlock("PhimoeSparseMoeBlock",
                new PhimoeTopKRouter(config.HiddenSize, config.NumLocalExperts, config.RouterJitterNoise),
                new Experts("PhimoeExperts", config.NumLocalExperts, config.HiddenSize, config.IntermediateSize,
                    description.CreateActivation(), ("w1", "w3", "w2")), gateName: "router"),
        };
    }
}

/// <summary>
/// Chooses the best expert, then the best of the others. The weight of each is its share among the experts whose logits are close to it,
/// so the two weights do not add up to 1.
/// </summary>
/// <remarks>sparsemixer in transformers/models/phimoe/modeling_phimoe.py; Liu et al., SparseMixer, 2023</remarks>
public sealed partial class PhimoeTopKRouter : ExpertRouter
{
    private readonly double _jitterNoise;
    private readonly Parameter _weight; // [experts, hidden]

    internal PhimoeTopKRouter(int hiddenSize, int numExperts, double jitterNoise)
    {
        _jitterNoise = jitterNoise;
        _weight = Weight("weight", numExperts, hiddenSize);
        ExtraRepr = $"in_features={hiddenSize}, out_features={numExperts}, bias=False";
    }

    public override string ExtraRepr { get; }

    protected override object?[] Forward(Tensor hidden)
    {
        using var scope = NewDisposeScope();
        Tensor logits = nn.functional.linear(hidden, _weight.Value);                                // [batch · seq, experts]
        var (firstWeight, first) = Choose(logits, logits);                                          // 2 x [batch · seq, 1]
        Tensor others = logits.scatter(-1, first, full_like(first, double.NegativeInfinity, logits.dtype)); // [batch · seq, experts]
        var (secondWeight, second) = Choose(others, logits);                                        // 2 x [batch · seq, 1]
        Tensor weights = cat([firstWeight, secondWeight], -1), indices = cat([first, second], -1);  // 2 x [batch · seq, 2]
        return [logits.MoveToOuterDisposeScope(), weights.MoveToOuterDisposeScope(), indices.MoveToOuterDisposeScope()];
    }

    /// <summary>The best expert, and its share of the softmax over the experts that are close to it.</summary>
    /// <param name="candidates">The logits of the experts to choose from: [batch · seq, experts].</param>
    /// <param name="logits">[batch · seq, experts]</param>
    private (Tensor Weight, Tensor Index) Choose(Tensor candidates, Tensor logits)
    {
        (Tensor best, Tensor index) = candidates.detach().max(-1, keepdim: true);                   // 2 x [batch · seq, 1]
        Tensor factor = maximum(maximum(logits.detach(), -logits.detach()), best);      // [batch · seq, experts]
        Tensor isFar = (best - logits.detach()) / factor > 2 * _jitterNoise;                        // [batch · seq, experts]
        Tensor shares = nn.functional.softmax(candidates.masked_fill(isFar, double.NegativeInfinity), -1); // [batch · seq, experts]
        return (shares.gather(-1, index), index);
    }
}
