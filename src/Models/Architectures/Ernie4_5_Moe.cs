using Ndif.Models.Config;
using Ndif.Models.Layers;
using static TorchSharp.torch;

namespace Ndif.Models.Architectures;

/// <summary>The config.json of an ERNIE 4.5 with experts.</summary>
/// <remarks>transformers/models/ernie4_5_moe/configuration_ernie4_5_moe.py</remarks>
public sealed record Ernie4_5_MoeConfig : Ernie4_5Config
{
    public Ernie4_5_MoeConfig(ConfigReader json) : base(json, new()
    {
        VocabSize = 103424, MaxPositions = 131072, HiddenSize = 2560, IntermediateSize = 12288, NumLayers = 28, NumHeads = 20,
        NumKvHeads = 4, NormEps = 1e-5, RopeTheta = 500000, TieWordEmbeddings = true, PadTokenId = 0,
    }) { }

    public int NumExperts => Json.Size("moe_num_experts", 64);

    public int MoeIntermediateSize => Json.Size("moe_intermediate_size", 1536);

    public int NumSharedExperts => Json.Count("moe_num_shared_experts", 2);

    public int TopK => Json.Size("moe_k", 6);

    /// <summary>The smallest sum that the weights of the chosen experts are divided by.</summary>
    public double NormMin => Json.Real("moe_norm_min", 1e-12);

    public bool IsSparse(int layer)
    {
        long last = Json.Integer("moe_layer_end_index", -1);
        return (layer + 1) % Json.Size("moe_layer_interval", 1) == 0 && layer >= Json.Integer("moe_layer_start_index", 1)
            && layer <= (last == -1 ? NumLayers - 1 : last);
    }
}

/// <summary>ERNIE 4.5 with experts: a softmax router with a bias for the choice.</summary>
/// <remarks>transformers/models/ernie4_5_moe/modeling_ernie4_5_moe.py; Baidu, ERNIE 4.5, 2025</remarks>
[Architecture("Ernie4_5_MoeForCausalLM", ModelType = "ernie4_5_moe")]
public sealed class Ernie4_5_MoeForCausalLM(ConfigReader json) : DecoderForCausalLM(Describe(new Ernie4_5_MoeConfig(json)))
{
    /// <summary>The weights for the prediction of several tokens.</summary>
    public override IReadOnlyList<string> IgnoredPrefixes => ["model.mtp_"];

    /// <summary>Checkpoints have the statistics of the router beside it.</summary>
    public override string ToTreeName(string tensorName) =>
        tensorName.Replace(".mlp.moe_statics.", ".mlp.gate.moe_statics.", StringComparison.Ordinal);

    private static DecoderDescription Describe(Ernie4_5_MoeConfig config) => config.Describe("Ernie4_5_Moe") with
    {
        PassesPositionIdsByPosition = true, PassesRouterLogits = true, HeadBias = config.UseBias,
        CreateMlp = (description, layer) => config.IsSparse(layer) ? new Ernie4_5_MoeSparseMoeBlock(config, description)
            : CreateMlp(config, description, config.IntermediateSize),
    };

    internal static GatedMlp CreateMlp(Ernie4_5_MoeConfig config, DecoderDescription description, int intermediateSize) =>
        new("Ernie4_5_MoeMLP", config.HiddenSize, intermediateSize, description.CreateActivation(), config.UseBias);
}

public sealed partial class Ernie4_5_MoeSparseMoeBlock : TensorModule
{
    private readonly Ernie4_5_MoeTopKRouter _gate;
    private readonly Experts _experts;
    private readonly GatedMlp? _sharedExperts;

    internal Ernie4_5_MoeSparseMoeBlock(Ernie4_5_MoeConfig config, DecoderDescription description)
    {
        _gate = Child("gate", new Ernie4_5_MoeTopKRouter(config));
        _experts = Child("experts", new Experts("Ernie4_5_MoeExperts", config.NumExperts, config.HiddenSize, config.MoeIntermediateSize,
            description.CreateActivation(), ("gate_proj", "up_proj", "down_proj")));
        if (config.NumSharedExperts == 0) return;
        _sharedExperts = Child("shared_experts",
            Ernie4_5_MoeForCausalLM.CreateMlp(config, description, config.MoeIntermediateSize * config.NumSharedExperts));
        _sharedExperts.SetAxes(Axes.Flat);
    }

    /// <param name="input">[batch, seq, hidden]</param>
    /// <returns>[batch, seq, hidden]</returns>
    protected override Tensor Forward(Tensor input)
    {
        using var scope = NewDisposeScope();
        Tensor hidden = input.reshape(-1, input.size(2));                                           // [batch · seq, hidden]
        Tensor? shared = _sharedExperts?.Call(hidden);                                              // [batch · seq, hidden]
        object?[] routing = _gate.Call(hidden);                                                     // logits, chosen experts, weights
        Tensor output = _experts.Call(hidden, (Tensor)routing[1]!, (Tensor)routing[2]!);            // [batch · seq, hidden]
        if (shared is not null) output = output + shared;                                           // [batch · seq, hidden]
        return output.view(input.shape).MoveToOuterDisposeScope();                                  // [batch, seq, hidden]
    }
}

/// <summary>The experts of each token, computed in float32. A bias takes part in the choice and not in the weights.</summary>
public sealed partial class Ernie4_5_MoeTopKRouter : ExpertRouter
{
    private readonly int _topK;
    private readonly double _normMin;
    private readonly Parameter _weight; // [experts, hidden]
    private readonly Ernie4_5_MoeStatics _moeStatics;

    internal Ernie4_5_MoeTopKRouter(Ernie4_5_MoeConfig config)
    {
        (_topK, _normMin) = (config.TopK, config.NormMin);
        _weight = Weight("weight", config.NumExperts, config.HiddenSize);
        _moeStatics = Child("moe_statics", new Ernie4_5_MoeStatics(config.NumExperts));
    }

    protected override object?[] Forward(Tensor hidden)
    {
        using var scope = NewDisposeScope();
        Tensor weight = _weight.Value.to(ScalarType.Float32);                                       // [experts, hidden]
        Tensor logits = nn.functional.linear(hidden.to(ScalarType.Float32), weight);                // [batch · seq, experts]
        Tensor probabilities = nn.functional.softmax(logits, -1);                                   // [batch · seq, experts]
        (_, Tensor chosen) = _moeStatics.Call(probabilities).topk(_topK, -1);                       // [batch · seq, chosen]
        Tensor weights = probabilities.gather(-1, chosen);                                          // [batch · seq, chosen]
        weights = weights / weights.sum([-1], keepdim: true).clamp_min(_normMin);                   // [batch · seq, chosen]
        weights = weights.to(hidden.dtype);                                                         // [batch · seq, chosen]
        return [logits.MoveToOuterDisposeScope(), chosen.MoveToOuterDisposeScope(), weights.MoveToOuterDisposeScope()];
    }
}

/// <summary>The bias for the choice of the experts.</summary>
public sealed partial class Ernie4_5_MoeStatics : TensorModule
{
    private readonly Parameter _eScoreCorrectionBias; // [1, experts]

    internal Ernie4_5_MoeStatics(int numExperts)
    {
        Axes = Axes.Flat;
        _eScoreCorrectionBias = Weight("e_score_correction_bias", 1, numExperts);
    }

    /// <param name="input">[batch · seq, experts]</param>
    /// <returns>[batch · seq, experts]</returns>
    protected override Tensor Forward(Tensor input) => input + _eScoreCorrectionBias.Value.squeeze(0);
}
