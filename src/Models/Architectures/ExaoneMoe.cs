using Ndif.Models.Config;
using Ndif.Models.Layers;

namespace Ndif.Models.Architectures;

/// <summary>K-EXAONE: an EXAONE 4 with norms before attention and mlp, and experts with a bias for the choice.</summary>
/// <remarks>transformers/models/exaone_moe/modeling_exaone_moe.py; LG AI Research, K-EXAONE, 2026</remarks>
[Architecture("ExaoneMoeForCausalLM", ModelType = "exaone_moe")]
public sealed class ExaoneMoeForCausalLM(ConfigReader json) : DecoderForCausalLM(Describe(new Exaone4Config(json)))
{
    /// <summary>The weights for the prediction of several tokens.</summary>
    public override IReadOnlyList<string> IgnoredPrefixes => ["mtp."];

    /// <summary>Checkpoints have the bias for the choice beside the router.</summary>
    public override string ToTreeName(string tensorName) =>
        tensorName.Replace(".mlp.e_score_correction_bias", ".mlp.gate.e_score_correction_bias", StringComparison.Ordinal);

    private static DecoderDescription Describe(Exaone4Config config)
    {
        ConfigReader json = config.Json;
        int numExperts = json.Size("num_experts", 128), moeSize = json.Size("moe_intermediate_size", 1024);
        IReadOnlyList<string> types = json.Texts("mlp_layer_types");
        return config.Describe("ExaoneMoe") with
        {
            LayerNorms = LayerNorms.Before,
            CreateMlp = (description, layer) => IsSparse(layer)
                ? new SharedExpertsMoe("ExaoneMoeSparseMoEBlock",
                    new Experts("ExaoneMoeExperts", numExperts, config.HiddenSize, moeSize, description.CreateActivation(),
                        ("gate_proj", "up_proj", "down_proj")),
                    new LinearRouter("ExaoneMoeTopkRouter", numExperts, config.HiddenSize, hasCorrectionBias: true),
                    CreateMlp(description, moeSize * json.Size("num_shared_experts", 1)),
                    new ExpertRouting(json.Size("num_experts_per_tok", 8))
                    {
                        IsSigmoid = true, NormTopKProb = json.Flag("norm_topk_prob", true), NumGroups = json.Size("n_group", 1),
                        TopKGroups = json.Size("topk_group", 1), ScalingFactor = json.Real("routed_scaling_factor", 2.5),
                    })
                : CreateMlp(description, config.IntermediateSize),
        };

        bool IsSparse(int layer) => types.Count > 0 ? types.ElementAtOrDefault(layer) == "sparse"
            : layer >= json.Integer("first_k_dense_replace", 1);
    }

    private static GatedMlp CreateMlp(DecoderDescription description, int intermediateSize) =>
        new("ExaoneMoeMLP", description.Config.HiddenSize, intermediateSize, description.CreateActivation());
}
