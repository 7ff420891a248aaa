using Ndif.Models.Architectures;
using Ndif.Models.ForwardSource;
using static TorchSharp.torch;
using Tensor = TorchSharp.torch.Tensor;

namespace Ndif.Models.Layers.StateSpace;

/// <summary>A convolution over a few tokens and a gated linear recurrence, beside a gate.</summary>
/// <remarks>RecurrentGemmaRecurrentBlock in transformers/models/recurrent_gemma/modeling_recurrent_gemma.py</remarks>
public sealed partial class RecurrentGemmaRecurrentBlock : RecurrentGemmaTemporalBlock
{
    private const int ConvolutionState = 0;

    private readonly int _layer;
    private readonly Linear _linearY, _linearX, _linearOut;
    private readonly DepthwiseConv1d _conv1d;
    private readonly RecurrentGemmaRglru _rgLru;
    private readonly Activation _actFn;

    internal RecurrentGemmaRecurrentBlock(RecurrentGemmaConfig config, int layer)
    {
        _layer = layer;
        _linearY = Child("linear_y", new Linear(config.HiddenSize, config.LruWidth));
        _linearX = Child("linear_x", new Linear(config.HiddenSize, config.LruWidth));
        _linearOut = Child("linear_out", new Linear(config.LruWidth, config.HiddenSize));
        _conv1d = Child("conv_1d", new DepthwiseConv1d(config.LruWidth, config.ConvKernel));
        _rgLru = Child("rg_lru", new RecurrentGemmaRglru(config.LruWidth, config.NumHeads, layer));
        _actFn = Child("act_fn", Activation.Read(config.Json, "hidden_activation", "gelu_pytorch_tanh"));
    }

    private protected override Tensor Forward(Tensor hidden, Tensor positionIds, Tensor mask, KeyValueCache? cache)
    {
        using var scope = NewDisposeScope();
        Tensor y = _actFn.Call(_linearY.Call(hidden));                                              // [batch, seq, width]
        Tensor x = PaddingMask.Apply(_linearX.Call(hidden), PaddingMask.OfCausal(mask));            // [batch, seq, width]
        Tensor convolved = CausalConvolution.Apply(_conv1d, x.transpose(1, 2), cache, _layer, ConvolutionState).transpose(1, 2);
        Tensor recurrent = _rgLru.Call(convolved, positionIds, cache);                              // [batch, seq, width]
        return _linearOut.Call(recurrent * y).MoveToOuterDisposeScope();                            // [batch, seq, hidden]
    }
}

/// <summary>
/// The real-gated linear recurrent unit: hₜ = aₜ hₜ₋₁ + √(1 - aₜ²) (iₜ · xₜ), where the gates of a head depend on the inputs of that head.
/// It begins anew at position 0.
/// </summary>
/// <remarks>RecurrentGemmaRglru in transformers/models/recurrent_gemma/modeling_recurrent_gemma.py; De et al., Griffin, 2024</remarks>
public sealed partial class RecurrentGemmaRglru : SiteModule
{
    private const int RecurrentState = 1;
    private const double MaxSqrtGradient = 1000;

    private readonly int _layer;
    private readonly Parameter _recurrentParam;                         // [width]
    private readonly Parameter _inputGateWeight, _recurrentGateWeight;  // [heads, headWidth, headWidth]
    private readonly Parameter _inputGateBias, _recurrentGateBias;      // [heads, headWidth]

    internal RecurrentGemmaRglru(int width, int heads, int layer)
    {
        int headWidth = width / heads;
        _layer = layer;
        _recurrentParam = Weight("recurrent_param", width);
        _inputGateWeight = Weight("input_gate_weight", heads, headWidth, headWidth);
        _inputGateBias = Weight("input_gate_bias", heads, headWidth);
        _recurrentGateWeight = Weight("recurrent_gate_weight", heads, headWidth, headWidth);
        _recurrentGateBias = Weight("recurrent_gate_bias", heads, headWidth);
    }

    public override bool ReturnsTensor => true;

    /// <param name="x">[batch, seq, width]</param>
    /// <param name="positionIds">[batch, seq] int64</param>
    /// <returns>[batch, seq, width]</returns>
    public Tensor Call(Tensor x, Tensor positionIds, KeyValueCache? cache) => Hook is { } observer
        ? CallHooked<Tensor>(observer, new Arguments([x, positionIds], [new("past_key_values", cache)]))
        : Forward(x, positionIds, cache);

    public override object? Run(Arguments arguments) => Forward(
        arguments.Tensor(0, "activations"), arguments.Tensor(1, "position_ids"), arguments.Get(2, "past_key_values") as KeyValueCache);

    private Tensor Forward(Tensor x, Tensor positionIds, KeyValueCache? cache)
    {
        using var scope = NewDisposeScope();
        Tensor isFirst = positionIds.unsqueeze(-1) == 0;                                            // [batch, seq, 1]
        Tensor inputGate = Gate(x, _inputGateWeight.Value, _inputGateBias.Value);                   // [batch, seq, width]
        Tensor recurrentGate = Gate(x, _recurrentGateWeight.Value, _recurrentGateBias.Value);       // [batch, seq, width]
        Tensor logDecay = recurrentGate * -8.0 * nn.functional.softplus(_recurrentParam.Value);     // [batch, seq, width]
        Tensor decay = logDecay.exp().masked_fill(isFirst, 0);                                      // [batch, seq, width]
        Tensor scale = Sqrt(1 - (logDecay * 2).exp()).masked_fill(isFirst, 1);                      // [batch, seq, width]
        Tensor input = x * inputGate * scale.to(x.dtype);                                           // [batch, seq, width]
        Tensor states = StateSpaceScan.Diagonal(
            decay.to(ScalarType.Float32), input.to(ScalarType.Float32), cache?.State(_layer, RecurrentState)); // [batch, seq, width]
        cache?.SetState(_layer, RecurrentState, states.select(1, states.size(1) - 1));
        return states.to(x.dtype).MoveToOuterDisposeScope();                                        // [batch, seq, width]
    }

    /// <param name="x">[batch, seq, width]</param>
    /// <param name="weight">[heads, headWidth, headWidth]</param>
    /// <param name="bias">[heads, headWidth]</param>
    /// <returns>[batch, seq, width]</returns>
    private static Tensor Gate(Tensor x, Tensor weight, Tensor bias)
    {
        Tensor heads = x.reshape(-1, weight.size(0), weight.size(1)).transpose(0, 1);               // [heads, batch·seq, headWidth]
        Tensor products = bmm(heads, weight) + bias.unsqueeze(1);                                   // [heads, batch·seq, headWidth]
        return products.transpose(0, 1).reshape(x.shape).sigmoid();
    }

    /// <summary>A square root whose derivative has a limit, because 1 - a² is 0 where a rounds to 1.</summary>
    /// <param name="x">[batch, seq, width]</param>
    /// <returns>[batch, seq, width]</returns>
    [Operation("SqrtBoundDerivative")]
    private static Tensor Sqrt(Tensor x)
    {
        if (!x.requires_grad) return x.sqrt();
        Tensor constant = x.detach();                                                               // [batch, seq, width]
        Tensor slope = 1 / (constant * 4).clamp_min(1 / (MaxSqrtGradient * MaxSqrtGradient)).sqrt(); // [batch, seq, width]
        return constant.sqrt() + (x - constant) * slope;
    }
}
