using Ndif.Models.Config;
using Ndif.Models.Layers;

namespace Ndif.Models.Architectures;

/// <summary>The config.json of a DeepSeek-V3 or of a model of its kind.</summary>
/// <remarks>transformers/models/deepseek_v3/configuration_deepseek_v3.py</remarks>
public record DeepseekV3Config : DecoderConfig
{
    public DeepseekV3Config(ConfigReader json) : this(json, new()
    {
        VocabSize = 129280, MaxPositions = 4096, HiddenSize = 7168, IntermediateSize = 18432, NumLayers = 61, NumHeads = 128, HeadDim = 64,
    }) { }

    protected DeepseekV3Config(ConfigReader json, DecoderDefaults defaults) : base(json, defaults) =>
        Latent = LatentAttentionConfig.Read(json);

    public LatentAttentionConfig Latent { get; init; }

    public bool AttentionBias => Json.Flag("attention_bias", false);

    public int NumRoutedExperts => Json.Size("n_routed_experts", 256);

    public int MoeIntermediateSize => Json.Size("moe_intermediate_size", 2048);

    /// <summary>The size of the mlp for all tokens.</summary>
    public int SharedIntermediateSize => MoeIntermediateSize * Json.Size("n_shared_experts", 1);

    /// <summary>Whether a layer has experts; the first ones have one mlp.</summary>
    public bool IsSparse(int layer) => Json.Texts("mlp_layer_types") is { Count: > 0 } types
        ? types.ElementAtOrDefault(layer) == "sparse" : layer >= Json.Integer("first_k_dense_replace", FirstDenseLayers);

    /// <summary>The default of first_k_dense_replace.</summary>
    protected virtual int FirstDenseLayers => 3;

    /// <summary>qk_dim^-0.5, with the square of yarn's factor for all dimensions.</summary>
    public virtual double Scale
    {
        get
        {
            double scale = 1 / Math.Sqrt(Latent.QkDim);
            if (RopeParameters is not { RopeType: not "default", Values: { } values }) return scale;
            double factor = values.Real("factor", 1), mscale = values.Real("mscale_all_dim", 0);
            double stretch = factor <= 1 || mscale == 0 ? 1 : 0.1 * mscale * Math.Log(factor) + 1;
            return scale * stretch * stretch;
        }
    }

    public virtual ExpertRouting Routing => new(Json.Size("num_experts_per_tok", 8))
    {
        IsSigmoid = true, NormTopKProb = Json.Flag("norm_topk_prob", true), ScalingFactor = Json.Real("routed_scaling_factor", 2.5),
        NumGroups = Json.Size("n_group", 8), TopKGroups = Json.Size("topk_group", 4),
    };

    /// <param name="hasCorrectionBias">Whether routers have a bias for the choice.</param>
    internal DecoderDescription Describe(string family, bool hasCorrectionBias = true) => new(this, family)
    {
        RotaryDim = Latent.RopeDim, Scale = Scale,
        CreateAttention = (description, layer) => new LatentAttention(
            description, layer, Latent, AttentionBias, normEps: 1e-6, Json.Flag("rope_interleave", true)),
        CreateMlp = (description, layer) => IsSparse(layer)
            ? new SharedExpertsMoe($"{family}MoE",
                new Experts($"{family}NaiveMoe", NumRoutedExperts, HiddenSize, MoeIntermediateSize, description.CreateActivation(),
                    ("gate_proj", "up_proj", "down_proj")),
                new LinearRouter($"{family}TopkRouter", NumRoutedExperts, HiddenSize, hasCorrectionBias),
                CreateMlp(description, SharedIntermediateSize), Routing)
            : CreateMlp(description, IntermediateSize),
    };

    private static GatedMlp CreateMlp(DecoderDescription description, int intermediateSize) =>
        new($"{description.Family}MLP", description.Config.HiddenSize, intermediateSize, description.CreateActivation());
}

/// <summary>DeepSeek-V3 and R1: latent attention, and groups of experts with a bias for the choice.</summary>
/// <remarks>transformers/models/deepseek_v3/modeling_deepseek_v3.py; DeepSeek-AI, DeepSeek-V3, 2024</remarks>
[Architecture("DeepseekV3ForCausalLM", ModelType = "deepseek_v3")]
public sealed class DeepseekV3ForCausalLM : DecoderForCausalLM
{
    private readonly string _nextTokenLayer;

    public DeepseekV3ForCausalLM(ConfigReader json) : this(new DeepseekV3Config(json)) { }

    private DeepseekV3ForCausalLM(DeepseekV3Config config) : base(config.Describe("DeepseekV3")) =>
        _nextTokenLayer = $"model.layers.{config.NumLayers}.";

    /// <summary>The layer for the prediction of several tokens, which published checkpoints have after the last.</summary>
    public override IReadOnlyList<string> IgnoredPrefixes => [_nextTokenLayer];
}
