using Ndif.Models.CpuKernels;
using Ndif.Models.ForwardSource;
using Ndif.Models.Layers;
using static TorchSharp.torch;
using Tensor = TorchSharp.torch.Tensor;

namespace Ndif.Models.Architectures;

public sealed partial class T5LayerSelfAttention : SiteModule
{
    private readonly T5Attention _selfAttention;
    private readonly RMSNorm _layerNorm;
    private readonly Dropout _dropout;

    internal T5LayerSelfAttention(T5Config config, bool isDecoder, int layer)
    {
        ClassName = $"{config.Family}LayerSelfAttention";
        _selfAttention = Child("SelfAttention", new T5Attention(config, layer, isCross: false,
            layer == 0 ? new RelativePositionBuckets(isBidirectional: !isDecoder, config.NumBuckets, config.MaxDistance) : null));
        _layerNorm = Child("layer_norm", T5Block.NewNorm(config));
        _dropout = Child("dropout", new Dropout(config.Dropout));
    }

    public override string ClassName { get; }

    public override Axes OutputAxes(int element) => ResolveTokens(element == 0 ? Axes.Hidden : Axes.Attention);

    public override Axes InputAxes(string argument) =>
        ResolveTokens(argument is "attention_mask" or "position_bias" ? Axes.Attention : Axes.Hidden);

    /// <returns>A tuple: hidden [batch, seq, hidden], position bias and probabilities [batch, heads, seq, kvSeq].</returns>
    public object?[] Call(Tensor hidden, Tensor mask, Tensor? positionBias, KeyValueCache? cache) => Hook is { } observer
        ? CallHooked<object?[]>(observer, new Arguments([hidden],
        [
            new("attention_mask", mask), new("position_bias", positionBias), new("past_key_values", cache),
            new("use_cache", cache is not null),
        ]))
        : Forward(hidden, mask, positionBias, cache);

    public override object? Run(Arguments arguments) => Forward(
        arguments.Tensor(0, "hidden_states"),
        arguments.Tensor(1, "attention_mask"),
        arguments.Get(2, "position_bias") as Tensor,
        arguments.Get(3, "past_key_values") as KeyValueCache);

    private object?[] Forward(Tensor hidden, Tensor mask, Tensor? positionBias, KeyValueCache? cache)
    {
        using var scope = NewDisposeScope();
        object?[] attended = _selfAttention.Call(_layerNorm.Call(hidden), mask, null, positionBias, cache);
        Tensor output = hidden + _dropout.Call((Tensor)attended[0]!);                               // [batch, seq, hidden]
        object?[] results = [output, .. attended.Skip(1)];
        T5Block.MoveToOuterScope(results, positionBias);
        return results;
    }
}

public sealed partial class T5LayerCrossAttention : SiteModule
{
    private readonly T5Attention _encDecAttention;
    private readonly RMSNorm _layerNorm;
    private readonly Dropout _dropout;

    internal T5LayerCrossAttention(T5Config config, int layer)
    {
        ClassName = $"{config.Family}LayerCrossAttention";
        _encDecAttention = Child("EncDecAttention", new T5Attention(config, layer, isCross: true, null));
        _layerNorm = Child("layer_norm", T5Block.NewNorm(config));
        _dropout = Child("dropout", new Dropout(config.Dropout));
    }

    public override string ClassName { get; }

    public override Axes OutputAxes(int element) => element == 0 ? Axes.Hidden : Axes.CrossAttention;

    public override Axes InputAxes(string argument) => argument switch
    {
        "key_value_states" => Axes.EncoderHidden,
        "attention_mask" or "position_bias" => Axes.CrossAttention,
        _ => Axes.Hidden,
    };

    /// <param name="encoderHidden">[batch, encoderSeq, hidden]</param>
    /// <param name="crossMask">[batch, 1, seq, encoderSeq]</param>
    /// <param name="crossPositionBias">[batch, heads, seq, encoderSeq], with the mask; null in the first layer.</param>
    /// <returns>A tuple: hidden [batch, seq, hidden], position bias and probabilities [batch, heads, seq, encoderSeq].</returns>
    public object?[] Call(Tensor hidden, Tensor encoderHidden, Tensor? crossMask, Tensor? crossPositionBias, KeyValueCache? cache) =>
        Hook is { } observer ? CallHooked<object?[]>(observer, new Arguments([hidden],
        [
            new("key_value_states", encoderHidden), new("attention_mask", crossMask), new("position_bias", crossPositionBias),
            new("past_key_values", cache),
        ]))
        : Forward(hidden, encoderHidden, crossMask, crossPositionBias, cache);

    public override object? Run(Arguments arguments) => Forward(
        arguments.Tensor(0, "hidden_states"),
        arguments.Tensor(1, "key_value_states"),
        arguments.Get(2, "attention_mask") as Tensor,
        arguments.Get(3, "position_bias") as Tensor,
        arguments.Get(4, "past_key_values") as KeyValueCache);

    private object?[] Forward(Tensor hidden, Tensor encoderHidden, Tensor? crossMask, Tensor? crossPositionBias, KeyValueCache? cache)
    {
        using var scope = NewDisposeScope();
        object?[] attended = _encDecAttention.Call(_layerNorm.Call(hidden), crossMask, encoderHidden, crossPositionBias, cache);
        Tensor output = hidden + _dropout.Call((Tensor)attended[0]!);                               // [batch, seq, hidden]
        object?[] results = [output, .. attended.Skip(1)];
        T5Block.MoveToOuterScope(results, crossPositionBias);
        return results;
    }
}

[SharedLayer]
public sealed partial class T5FeedForward : TensorModule
{
    private readonly Linear _wi, _wo;
    private readonly Linear? _gated;
    private readonly Dropout _dropout;
    private readonly Activation _act;
    private readonly FusedMlp _fusedMlp;

    internal T5FeedForward(T5Config config)
    {
        ClassName = $"{config.Family}Dense{(config.IsGated ? "Gated" : "")}ActDense";
        _wi = Child(config.IsGated ? "wi_0" : "wi", new Linear(config.HiddenSize, config.IntermediateSize, bias: false));
        _gated = config.IsGated ? Child("wi_1", new Linear(config.HiddenSize, config.IntermediateSize, bias: false)) : null;
        _wo = Child("wo", new Linear(config.IntermediateSize, config.HiddenSize, bias: false));
        _dropout = Child("dropout", new Dropout(config.Dropout));
        _act = Child("act", Activation.Of(config.ActivationName) ?? throw config.Json.InvalidValue("feed_forward_proj",
            "must be an activation that is known here, or gated- and one", $"`{config.ActivationName}`"));
        _fusedMlp = new FusedMlp(this, _gated is null ? null : _wi, _gated ?? _wi, _wo, _act.Kind);
    }

    public override string ClassName { get; }

    protected internal override void DescribeLayout(Protocol.ModuleInfo info) =>
        info.Mlp = _gated is null
        ? Layouts.Mlp("wi", "wo") : Layouts.Mlp("wi_1", "wo", "wi_0");

    /// <param name="input">[batch, seq, hidden]</param>
    /// <returns>[batch, seq, hidden]</returns>
    protected override Tensor Forward(Tensor input)
    {
        if (_fusedMlp.TryForward(input) is { } fused) return fused;
        using var scope = NewDisposeScope();
        Tensor intermediate = _act.Call(_wi.Call(input));                                           // [batch, seq, intermediate]
        if (_gated is not null) intermediate = intermediate * _gated.Call(input);                   // [batch, seq, intermediate]
        intermediate = _dropout.Call(intermediate);                                                 // [batch, seq, intermediate]
        return _wo.Call(intermediate).MoveToOuterDisposeScope();                                    // [batch, seq, hidden]
    }
}

public sealed partial class T5LayerFF : TensorModule
{
    private readonly T5FeedForward _denseReluDense;
    private readonly RMSNorm _layerNorm;
    private readonly Dropout _dropout;

    internal T5LayerFF(T5Config config)
    {
        ClassName = $"{config.Family}LayerFF";
        _denseReluDense = Child("DenseReluDense", new T5FeedForward(config));
        _layerNorm = Child("layer_norm", T5Block.NewNorm(config));
        _dropout = Child("dropout", new Dropout(config.Dropout));
    }

    public override string ClassName { get; }

    /// <param name="input">[batch, seq, hidden]</param>
    /// <returns>[batch, seq, hidden]</returns>
    protected override Tensor Forward(Tensor input)
    {
        using var scope = NewDisposeScope();
        Tensor forwarded = _denseReluDense.Call(_layerNorm.Call(input));                            // [batch, seq, hidden]
        return (input + _dropout.Call(forwarded)).MoveToOuterDisposeScope();                        // [batch, seq, hidden]
    }
}
