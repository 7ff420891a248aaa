using Ndif.Models.Config;
using Ndif.Models.Layers;
using static TorchSharp.torch;

namespace Ndif.Models.Architectures;

/// <summary>The config.json of a DeepSeek-V2.</summary>
/// <remarks>transformers/models/deepseek_v2/configuration_deepseek_v2.py</remarks>
public sealed record DeepseekV2Config(ConfigReader Json) : DecoderConfig(Json, new()
{
    VocabSize = 32000, MaxPositions = 2048, HiddenSize = 4096, IntermediateSize = 11008, NumLayers = 32, NumHeads = 32, HeadDim = 64,
})
{
    public LatentAttentionConfig Latent { get; } = LatentAttentionConfig.Read(Json);

    public bool AttentionBias => Json.Flag("attention_bias", false);

    public bool MlpBias => Json.Flag("mlp_bias", false);

    public int NumRoutedExperts => Json.Size("n_routed_experts", 64);

    public int MoeIntermediateSize => Json.Size("moe_intermediate_size", 1407);

    /// <summary>The number of experts' sizes that the mlp for all tokens has.</summary>
    public int NumSharedExperts => Json.Size("n_shared_experts", 2);

    public int FirstSparseLayer => Json.Count("first_k_dense_replace", 0);

    /// <summary>The weights are those of the softmax over all experts; norm_topk_prob is not read.</summary>
    public ExpertRouting Routing => new(Json.Size("num_experts_per_tok", 6))
    {
        ScalingFactor = Json.Real("routed_scaling_factor", 1), GroupsByTwoBest = false, MaskedScore = 0,
        NumGroups = IsGrouped ? Json.Size("n_group") : 1, TopKGroups = IsGrouped ? Json.Size("topk_group") : 1,
    };

    private bool IsGrouped => Json.Text("topk_method", "greedy") switch
    {
        "greedy" => false,
        "group_limited_greedy" => true,
        string unknown => throw Json.InvalidValue("topk_method", "must be greedy or group_limited_greedy", $"`{unknown}`"),
    };
}

/// <summary>DeepSeek-V2: latent attention, and experts of which each token has a few, beside an mlp for all tokens.</summary>
/// <remarks>transformers/models/deepseek_v2/modeling_deepseek_v2.py; DeepSeek-AI, DeepSeek-V2, 2024</remarks>
[Architecture("DeepseekV2ForCausalLM", ModelType = "deepseek_v2")]
public sealed class DeepseekV2ForCausalLM(ConfigReader json) : DecoderForCausalLM(Describe(new DeepseekV2Config(json)))
{
    private static DecoderDescription Describe(DeepseekV2Config config) => new(config, "DeepseekV2")
    {
        RotaryPairs = RotaryPairs.Complex, RotaryDim = config.Latent.RopeDim, Scale = 1 / Math.Sqrt(config.Latent.QkDim),
        CreateAttention = (description, layer) => new LatentAttention(
            description, layer, config.Latent, config.AttentionBias, normEps: 1e-6, isAdjacent: true),
        CreateMlp = (description, layer) => layer >= config.FirstSparseLayer ? new DeepseekV2Moe(config, description)
            : CreateMlp(config, description, config.IntermediateSize),
    };

    internal static GatedMlp CreateMlp(DeepseekV2Config config, DecoderDescription description, int intermediateSize) =>
        new("DeepseekV2MLP", config.HiddenSize, intermediateSize, description.CreateActivation(), config.MlpBias);
}

/// <summary>The router's weight is that of a linear layer which is not called, as in Hugging Face's code.</summary>
public sealed partial class DeepseekV2Moe : TensorModule
{
    private readonly Experts _experts;
    private readonly Linear _gate;
    private readonly GatedMlp _sharedExperts;
    private readonly ExpertRouting _routing;

    internal DeepseekV2Moe(DeepseekV2Config config, DecoderDescription description)
    {
        _routing = config.Routing;
        _experts = Child("experts", new Experts("DeepseekV2Experts", config.NumRoutedExperts, config.HiddenSize, config.MoeIntermediateSize,
            description.CreateActivation(), ("gate_proj", "up_proj", "down_proj")));
        _gate = Child("gate", new Linear(config.HiddenSize, config.NumRoutedExperts, bias: false));
        _sharedExperts = Child("shared_experts",
            DeepseekV2ForCausalLM.CreateMlp(config, description, config.MoeIntermediateSize * config.NumSharedExperts));
    }

    /// <param name="input">[batch, seq, hidden]</param>
    /// <returns>[batch, seq, hidden]</returns>
    protected override Tensor Forward(Tensor input)
    {
        using var scope = NewDisposeScope();
        Tensor hidden = input.reshape(-1, input.size(2));                                           // [batch · seq, hidden]
        Tensor weight = _gate.Weights.Value.to(ScalarType.Float32);                                  // [experts, hidden]
        Tensor logits = nn.functional.linear(hidden.to(ScalarType.Float32), weight);                // [batch · seq, experts]
        var (indices, weights) = _routing.Route(logits, null);                                      // 2 x [batch · seq, chosen]
        Tensor output = _experts.Call(hidden, indices, weights).view(input.shape);                  // [batch, seq, hidden]
        return (output + _sharedExperts.Call(input)).MoveToOuterDisposeScope();                     // [batch, seq, hidden]
    }
}
