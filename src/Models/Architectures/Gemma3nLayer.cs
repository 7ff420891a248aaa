using Ndif.Models.CpuKernels;
using Ndif.Models.Layers;
using static TorchSharp.torch;

namespace Ndif.Models.Architectures;

/// <summary>
/// Predicts the residual streams from each other, runs attention and mlp on the active one, corrects all by the result, and adds the gated
/// input of the layer to all but the first.
/// </summary>
public sealed partial class Gemma3nTextDecoderLayer : SiteModule
{
    private static readonly Axes _streams = new(1, 2); // [inputs, batch, seq, hidden]

    private readonly int _active;
    private readonly bool _scales;
    private readonly Gemma3nTextAttention _selfAttn;
    private readonly Gemma3nTextMLP _mlp;
    private readonly RMSNorm _inputLayernorm, _postAttentionLayernorm, _preFeedforwardLayernorm, _postFeedforwardLayernorm;
    private readonly Activation _actFn;
    private readonly Gemma3nTextAltUp _altup;
    private readonly Gemma3nTextLaurelBlock _laurel;
    private readonly Linear _perLayerInputGate, _perLayerProjection;
    private readonly RMSNorm _postPerLayerInputNorm;

    internal Gemma3nTextDecoderLayer(Gemma3nTextConfig config, int layer)
    {
        int size = config.HiddenSize;
        (_active, _scales) = (config.ActiveInput, config.ScalesCorrectedInput);
        _selfAttn = Child("self_attn", new Gemma3nTextAttention(config, layer));
        _mlp = Child("mlp", new Gemma3nTextMLP(config, layer));
        _inputLayernorm = Child("input_layernorm", config.CreateNorm(size));
        _postAttentionLayernorm = Child("post_attention_layernorm", config.CreateNorm(size));
        _preFeedforwardLayernorm = Child("pre_feedforward_layernorm", config.CreateNorm(size));
        _postFeedforwardLayernorm = Child("post_feedforward_layernorm", config.CreateNorm(size));
        _actFn = Child("act_fn", config.CreateActivation());
        _altup = Child("altup", new Gemma3nTextAltUp(config));
        _laurel = Child("laurel", new Gemma3nTextLaurelBlock(config));
        _perLayerInputGate = Child("per_layer_input_gate", new Linear(size, config.PerLayerInputSize, bias: false));
        _perLayerProjection = Child("per_layer_projection", new Linear(config.PerLayerInputSize, size, bias: false));
        _postPerLayerInputNorm = Child("post_per_layer_input_norm", config.CreateNorm(size));
    }

    public override Axes OutputAxes(int element) => _streams;

    public override Axes InputAxes(string argument) => argument is "0" or "hidden_states" ? _streams : base.InputAxes(argument);

    /// <param name="hidden">[inputs, batch, seq, hidden]</param>
    /// <param name="positionEmbeddings">2 x [batch, seq, headDim]</param>
    /// <param name="perLayerInput">[batch, seq, perLayer]</param>
    /// <param name="mask">[batch, 1, seq, kvSeq], added to the scores</param>
    /// <returns>A tuple: hidden [inputs, batch, seq, hidden].</returns>
    public object?[] Call(Tensor hidden, object?[] positionEmbeddings, Tensor perLayerInput, Tensor mask, Tensor positionIds,
        KeyValueCache? cache, SharedKeyValues? shared) => Hook is { } observer
            ? CallHooked<object?[]>(observer, new Arguments([hidden, positionEmbeddings, perLayerInput],
            [
                new("shared_kv_states", shared), new("attention_mask", mask), new("position_ids", positionIds),
                new("past_key_values", cache),
            ]))
            : Forward(hidden, positionEmbeddings, perLayerInput, mask, positionIds, cache, shared);

    public override object? Run(Arguments arguments) => Forward(
        arguments.Tensor(0, "hidden_states"),
        arguments.Tuple(1, "position_embeddings"),
        arguments.Tensor(2, "per_layer_input"),
        arguments.Tensor(4, "attention_mask"),
        arguments.Tensor(5, "position_ids"),
        arguments.Get(6, "past_key_values") as KeyValueCache,
        arguments.Get(3, "shared_kv_states") as SharedKeyValues);

    private object?[] Forward(Tensor hidden, object?[] positionEmbeddings, Tensor perLayerInput, Tensor mask, Tensor positionIds,
        KeyValueCache? cache, SharedKeyValues? shared)
    {
        using var scope = NewDisposeScope();
        Tensor predictions = _altup.Predict(hidden);                                                // [inputs, batch, seq, hidden]
        Tensor active = predictions[_active];                                                       // [batch, seq, hidden]
        Tensor normal = _inputLayernorm.Call(active);                                               // [batch, seq, hidden]
        Tensor laurel = _laurel.Call(normal);                                                       // [batch, seq, hidden]
        var attended = (Tensor)_selfAttn.Call(normal, mask, positionIds, cache, positionEmbeddings, shared)[0]!; // [batch, seq, hidden]
        Tensor gated = active + _postAttentionLayernorm.Call(attended);                             // [batch, seq, hidden]
        Tensor middle = (gated + laurel) / Math.Sqrt(2);                                            // [batch, seq, hidden]
        Tensor changed = _mlp.Call(_preFeedforwardLayernorm.Call(middle));                          // [batch, seq, hidden]
        Tensor activated = middle + _postFeedforwardLayernorm.Call(changed);                        // [batch, seq, hidden]
        Tensor corrected = _altup.Correct(predictions, activated);                                  // [inputs, batch, seq, hidden]
        Tensor first = corrected[_active];                                                          // [batch, seq, hidden]
        if (_scales) first = _altup.ScaleCorrectedOutput(first);                                    // [batch, seq, hidden]
        Tensor gate = _actFn.Call(_perLayerInputGate.Call(first));                                  // [batch, seq, perLayer]
        Tensor added = _perLayerProjection.Call(gate * perLayerInput);                              // [batch, seq, hidden]
        added = _postPerLayerInputNorm.Call(added);                                                 // [batch, seq, hidden]
        Tensor others = corrected.narrow(0, 1, corrected.size(0) - 1) + added;                      // [inputs - 1, batch, seq, hidden]
        Tensor output = cat([corrected.narrow(0, 0, 1), others], 0);                                // [inputs, batch, seq, hidden]
        return [output.MoveToOuterDisposeScope()];
    }
}

/// <summary>A gated mlp. In some layers only the largest values of the gate count: those of a normal distribution's upper end.</summary>
public sealed partial class Gemma3nTextMLP : TensorModule
{
    private readonly Linear _gateProj, _upProj, _downProj;
    private readonly Activation _actFn;
    private readonly double? _deviations;
    private readonly FusedMlp? _fusedMlp;

    internal Gemma3nTextMLP(Gemma3nTextConfig config, int layer)
    {
        int intermediateSize = config.IntermediateSizeOf(layer);
        _gateProj = Child("gate_proj", new Linear(config.HiddenSize, intermediateSize, bias: false));
        _upProj = Child("up_proj", new Linear(config.HiddenSize, intermediateSize, bias: false));
        _downProj = Child("down_proj", new Linear(intermediateSize, config.HiddenSize, bias: false));
        _actFn = Child("act_fn", config.CreateActivation());
        if (config.SparsityOf(layer) > 0) _deviations = NormalQuantile(config.SparsityOf(layer));
        else _fusedMlp = new FusedMlp(this, _gateProj, _upProj, _downProj, _actFn.Kind);
    }

    protected internal override void DescribeLayout(Protocol.ModuleInfo info) =>
        info.Mlp = Layouts.Mlp("up_proj", "down_proj", "gate_proj");

    /// <param name="input">[batch, seq, hidden]</param>
    /// <returns>[batch, seq, hidden]</returns>
    protected override Tensor Forward(Tensor input)
    {
        if (_fusedMlp?.TryForward(input) is { } fused) return fused;
        using var scope = NewDisposeScope();
        Tensor gate = _gateProj.Call(input);                                                        // [batch, seq, intermediate]
        if (_deviations is { } deviations) gate = GaussianTopK(gate, deviations);                   // [batch, seq, intermediate]
        Tensor activations = _actFn.Call(gate);                                                     // [batch, seq, intermediate]
        Tensor output = _downProj.Call(activations * _upProj.Call(input));                          // [batch, seq, hidden]
        return output.MoveToOuterDisposeScope();
    }

    /// <param name="gate">[batch, seq, intermediate]</param>
    /// <param name="deviations">How many standard deviations above the mean the cut is.</param>
    /// <returns>[batch, seq, intermediate]</returns>
    private static Tensor GaussianTopK(Tensor gate, double deviations)
    {
        using Tensor rounded = tensor((float)deviations, gate.dtype, gate.device);                  // []
        Tensor precise = gate.to(ScalarType.Float32);                                               // [batch, seq, intermediate]
        Tensor mean = precise.mean([-1], keepdim: true);                                            // [batch, seq, 1]
        Tensor deviation = (precise - mean).square().mean([-1], keepdim: true).sqrt();              // [batch, seq, 1]
        Tensor cut = mean.to(gate.dtype) + deviation.to(gate.dtype) * rounded;                      // [batch, seq, 1]
        return nn.functional.threshold(gate - cut, 0, 0);
    }

    /// <summary>The value below which this fraction of a normal distribution lies.</summary>
    /// <remarks>torch/distributions/normal.py, icdf</remarks>
    private static double NormalQuantile(double fraction)
    {
        using var scope = NewDisposeScope();
        return (special.erfinv(tensor((float)fraction) * 2 - 1) * Math.Sqrt(2)).item<float>();
    }
}
