using Ndif.Models.Config;
using Ndif.Models.Layers.StateSpace;
using Ndif.Models.Layers;
using static TorchSharp.torch;

namespace Ndif.Models.Architectures;

/// <summary>The config.json of a Jamba.</summary>
/// <remarks>transformers/models/jamba/configuration_jamba.py</remarks>
public sealed record JambaConfig(ConfigReader Json) : DecoderConfig(Json, new()
{
    VocabSize = 65536, MaxPositions = 262144, HiddenSize = 4096, IntermediateSize = 14336, NumLayers = 32, NumHeads = 32, NumKvHeads = 8,
    PadTokenId = 0,
})
{
    public int NumExperts => Json.Size("num_experts", 16);

    public bool IsAttention(int layer) =>
        layer % Json.Size("attn_layer_period", 8) == Json.Integer("attn_layer_offset", 4);

    /// <summary>The number of experts of a layer: 1 for a single mlp.</summary>
    public int NumExpertsOf(int layer) =>
        layer % Json.Size("expert_layer_period", 2) == Json.Integer("expert_layer_offset", 1) ? NumExperts : 1;
}

/// <summary>Jamba: Mamba layers, a few of which are replaced by attention without positions, and experts in every other layer.</summary>
/// <remarks>transformers/models/jamba/modeling_jamba.py; Lieber et al., Jamba, 2024</remarks>
[Architecture("JambaForCausalLM", ModelType = "jamba")]
public sealed class JambaForCausalLM : DecoderForCausalLM
{
    public JambaForCausalLM(ConfigReader json) : this(new JambaConfig(json)) { }

    private JambaForCausalLM(JambaConfig config) : this(config, Describe(config)) { }

    private JambaForCausalLM(JambaConfig config, DecoderDescription description) :
        base(description, new HybridModel(description, layer => !config.IsAttention(layer))) { }

    public override bool HasStatesBesideKeys => true;

    private static DecoderDescription Describe(JambaConfig config) => new(config, "Jamba")
    {
        HasRotaryEmbedding = false, HasRotaryPositions = static _ => false, FinalNormName = "final_layernorm", MlpName = "feed_forward",
        PassesRouterLogits = true,
        CreateMlp = (description, layer) => config.NumExpertsOf(layer) > 1 ? new JambaSparseMoeBlock(config, description)
            : new GatedMlp("JambaMLP", config.HiddenSize, config.IntermediateSize, description.CreateActivation()),
        CreateLayer = (description, layer) =>
        {
            bool isAttention = config.IsAttention(layer);
            return new HybridDecoderLayer(description, isAttention ? "JambaAttentionDecoderLayer" : "JambaMambaDecoderLayer",
                isAttention ? ("self_attn", description.CreateAttention(description, layer))
                    : ("mamba", new MambaMixer("JambaMambaMixer", layer, new MixerCall(IsKeyword: true), ReadMixer(config),
                        description.CreateActivation())),
                ("feed_forward", description.CreateMlp(description, layer)),
                ("input_layernorm", description.CreateNorm(config.HiddenSize)),
                ("pre_ff_layernorm", description.CreateNorm(config.HiddenSize)));
        },
    };

    private static MambaConfig ReadMixer(JambaConfig config)
    {
        ConfigReader json = config.Json;
        int rank = json.TextOrNull("mamba_dt_rank") is "auto" || !json.Has("mamba_dt_rank") ? (config.HiddenSize + 15) / 16
            : json.Size("mamba_dt_rank");
        return new MambaConfig(config.HiddenSize, json.Size("mamba_expand", 2) * config.HiddenSize, json.Size("mamba_d_state", 16), rank,
            json.Size("mamba_d_conv", 4))
        {
            ConvBias = json.Flag("mamba_conv_bias", true), ProjectionBias = json.Flag("mamba_proj_bias", false),
            CreateNorm = size => new RMSNorm("JambaRMSNorm", size, config.NormEps),
        };
    }
}

/// <summary>The experts with the highest probabilities, whose weights do not add up to 1.</summary>
public sealed partial class JambaSparseMoeBlock : TensorModule
{
    private readonly Linear _router;
    private readonly Experts _experts;
    private readonly ExpertRouting _routing;

    internal JambaSparseMoeBlock(JambaConfig config, DecoderDescription description)
    {
        _routing = new ExpertRouting(config.Json.Size("num_experts_per_tok", 2));
        _router = Child("router", new Linear(config.HiddenSize, config.NumExperts, bias: false));
        _router.SetAxes(Axes.Flat);
        _experts = Child("experts", new Experts("JambaExperts", config.NumExperts, config.HiddenSize, config.IntermediateSize,
            description.CreateActivation(), ("gate_proj", "up_proj", "down_proj")));
    }

    /// <param name="input">[batch, seq, hidden]</param>
    /// <returns>[batch, seq, hidden]</returns>
    protected override Tensor Forward(Tensor input)
    {
        using var scope = NewDisposeScope();
        Tensor hidden = input.reshape(-1, input.size(2));                                           // [batch · seq, hidden]
        Tensor logits = _router.Call(hidden).to(ScalarType.Float32);                                // [batch · seq, experts]
        var (indices, weights) = _routing.Route(logits, null);                                      // 2 x [batch · seq, chosen]
        return _experts.Call(hidden, indices, weights.to(hidden.dtype)).view(input.shape).MoveToOuterDisposeScope();
    }
}
