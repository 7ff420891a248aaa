using Ndif.Models.Config;
using Ndif.Models.Layers;
using static TorchSharp.torch;

namespace Ndif.Models.Architectures;

/// <summary>The config.json of an Apertus.</summary>
/// <remarks>transformers/models/apertus/configuration_apertus.py</remarks>
public sealed record ApertusConfig(ConfigReader Json) : DecoderConfig(Json, new()
{
    VocabSize = 131072, MaxPositions = 65536, HiddenSize = 4096, IntermediateSize = 14336, NumLayers = 32, NumHeads = 32, NormEps = 1e-5,
    RopeTheta = 12_000_000, PadTokenId = 3,
})
{
    public bool AttentionBias => Json.Flag("attention_bias", false);
}

/// <summary>Apertus: norms on queries and keys, and an activation with two parameters in each layer.</summary>
/// <remarks>transformers/models/apertus/modeling_apertus.py; Swiss AI Initiative, 2025</remarks>
[Architecture("ApertusForCausalLM", ModelType = "apertus")]
public sealed class ApertusForCausalLM(ConfigReader json) : DecoderForCausalLM(Describe(new ApertusConfig(json)))
{
    /// <summary>The constants of the activation.</summary>
    protected internal override IReadOnlyList<string> IgnoredSuffixes => [".act_fn.beta", ".act_fn.eps"];

    private static DecoderDescription Describe(ApertusConfig config)
    {
        string activation = config.Json.Text("hidden_act", "xielu");
        return new(config, "Apertus")
        {
            QkvBias = config.AttentionBias, OutputBias = config.AttentionBias, QkNorms = QkNorms.EachHeadAfterSplit,
            LayerNorms = new((NormPosition.BeforeAttention, "attention_layernorm"), (NormPosition.BeforeMlp, "feedforward_layernorm")),
            CreateMlp = (description, _) => activation == "xielu" ? new ApertusMLP(config) : new Mlp("ApertusMLP",
                ("up_proj", new Linear(config.HiddenSize, config.IntermediateSize, bias: false)),
                ("down_proj", new Linear(config.IntermediateSize, config.HiddenSize, bias: false)),
                ("act_fn", description.CreateActivation())),
        };
    }
}

public sealed partial class ApertusMLP : TensorModule
{
    private readonly Linear _upProj, _downProj;
    private readonly XIELUActivation _actFn;

    internal ApertusMLP(ApertusConfig config)
    {
        _upProj = Child("up_proj", new Linear(config.HiddenSize, config.IntermediateSize, bias: false));
        _downProj = Child("down_proj", new Linear(config.IntermediateSize, config.HiddenSize, bias: false));
        _actFn = Child("act_fn", new XIELUActivation());
    }

    protected internal override void DescribeLayout(Protocol.ModuleInfo info) =>
        info.Mlp = Layouts.Mlp("up_proj", "down_proj");

    /// <param name="input">[batch, seq, hidden]</param>
    /// <returns>[batch, seq, hidden]</returns>
    protected override Tensor Forward(Tensor input)
    {
        using var scope = NewDisposeScope();
        Tensor intermediate = _actFn.Call(_upProj.Call(input));             // [batch, seq, intermediate]
        return _downProj.Call(intermediate).MoveToOuterDisposeScope();      // [batch, seq, hidden]
    }
}

/// <summary>
/// αp x² + βx for positive x, and αn (exp(min(x, ε)) - 1 - x) + βx for others, with αp = softplus(alpha_p) and
/// αn = β + softplus(alpha_n).
/// </summary>
/// <remarks>
/// XIELUActivation in transformers/activations.py; Huang and Schlag, Deriving Activation Functions Using Integration, 2024
/// </remarks>
public sealed partial class XIELUActivation : TensorModule
{
    private const double Beta = 0.5, Epsilon = -1e-6;

    private readonly Parameter _alphaP, _alphaN; // [1]

    internal XIELUActivation() => (_alphaP, _alphaN) = (Weight("alpha_p", 1), Weight("alpha_n", 1));

    /// <param name="input">[..., intermediate]</param>
    /// <returns>[..., intermediate]</returns>
    protected override Tensor Forward(Tensor input)
    {
        if (input.device_type == TorchSharp.DeviceType.META) return empty_like(input); // libtorch has no meta kernel for where
        using var scope = NewDisposeScope();
        Tensor alphaP = nn.functional.softplus(_alphaP.Value);                                  // [1]
        Tensor alphaN = Beta + nn.functional.softplus(_alphaN.Value);                           // [1]
        Tensor positive = alphaP * input * input + Beta * input;                                // [..., intermediate]
        Tensor negative = (expm1(input.clamp_max(Epsilon)) - input) * alphaN + Beta * input;    // [..., intermediate]
        return where(input > 0, positive, negative).MoveToOuterDisposeScope();
    }
}
