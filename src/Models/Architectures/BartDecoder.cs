using Ndif.Models.Layers;
using static TorchSharp.torch;
using Tensor = TorchSharp.torch.Tensor;

namespace Ndif.Models.Architectures;

public sealed partial class BartDecoder : SiteModule
{
    private readonly Embedding _embedTokens;
    private readonly BartLearnedPositionalEmbedding _embedPositions;
    private readonly ModuleList<BartDecoderLayer> _layers;
    private readonly LayerNorm _layernormEmbedding;

    internal BartDecoder(BartConfig config, Embedding shared)
    {
        _embedTokens = Child("embed_tokens", BartModel.NewEmbedding(config, shared.Table));
        _embedPositions = Child("embed_positions", new BartLearnedPositionalEmbedding(config));
        _layers = Child("layers", new ModuleList<BartDecoderLayer>(config.Decoder.NumLayers, layer => new BartDecoderLayer(config, layer)));
        _layernormEmbedding = Child("layernorm_embedding", new LayerNorm(config.HiddenSize));
    }

    public override Axes InputAxes(string argument) => argument switch
    {
        "encoder_hidden_states" or "encoder_attention_mask" => Axes.EncoderHidden,
        "attention_mask" => new Axes(0, Axes.None, 1),
        _ => Axes.Hidden,
    };

    /// <param name="encoderHidden">[batch, encoderSeq, hidden]</param>
    /// <param name="encoderMask">[batch, encoderSeq]</param>
    /// <returns><c>last_hidden_state</c> [batch, seq, hidden] and <c>past_key_values</c>, the cache.</returns>
    public ModelOutput Call(Tensor inputIds, Tensor attentionMask, Tensor encoderHidden, Tensor encoderMask, KeyValueCache? cache) =>
        Hook is { } observer ? CallHooked<ModelOutput>(observer, new Arguments([],
        [
            new("input_ids", inputIds), new("attention_mask", attentionMask), new("encoder_hidden_states", encoderHidden),
            new("encoder_attention_mask", encoderMask), new("past_key_values", cache), new("use_cache", cache is not null),
        ]))
        : Forward(inputIds, attentionMask, encoderHidden, encoderMask, cache);

    public override object? Run(Arguments arguments) => Forward(
        arguments.Tensor(0, "input_ids"),
        arguments.Tensor(1, "attention_mask"),
        arguments.Tensor(2, "encoder_hidden_states"),
        arguments.Tensor(3, "encoder_attention_mask"),
        arguments.Get(4, "past_key_values") as KeyValueCache);

    private ModelOutput Forward(Tensor inputIds, Tensor attentionMask, Tensor encoderHidden, Tensor encoderMask, KeyValueCache? cache)
    {
        using var scope = NewDisposeScope();
        long seqLen = inputIds.size(1), cached = cache?.Length ?? 0;
        Tensor counted = (attentionMask.cumsum(1) - 1).clamp_min(0);                                // [batch, kvSeq]
        Tensor positionIds = counted.narrow(1, attentionMask.size(1) - seqLen, seqLen);             // [batch, seq]
        Tensor hidden = _embedTokens.Call(inputIds);                                                // [batch, seq, hidden]
        Tensor positions = _embedPositions.Call(inputIds, cached, positionIds);                     // [batch, seq, hidden]
        hidden = _layernormEmbedding.Call(hidden + positions);                                      // [batch, seq, hidden]
        Tensor mask = AttentionMask.Causal(attentionMask, seqLen, hidden.dtype);                    // [batch, 1, seq, kvSeq]
        Tensor crossMask = AttentionMask.Cross(encoderMask, seqLen, hidden.dtype);                  // [batch, 1, seq, encoderSeq]
        for (int layer = 0; layer < _layers.Count; layer++)
            hidden = (Tensor)_layers[layer].Call(hidden, mask, encoderHidden, crossMask, cache)[0]!; // [batch, seq, hidden]
        cache?.Advance(seqLen);
        return new ModelOutput(new("last_hidden_state", hidden.MoveToOuterDisposeScope()), new("past_key_values", cache));
    }
}

public sealed partial class BartDecoderLayer : SiteModule
{
    private readonly BartAttention _selfAttn, _encoderAttn;
    private readonly LayerNorm _selfAttnLayerNorm, _encoderAttnLayerNorm, _finalLayerNorm;
    private readonly Activation _activationFn;
    private readonly Linear _fc1, _fc2;

    internal BartDecoderLayer(BartConfig config, int layer)
    {
        _selfAttn = Child("self_attn", new BartAttention(config, config.Decoder.NumHeads, layer, BartAttentionKind.Decoder));
        _activationFn = Child("activation_fn", Activation.Read(config.Json, "activation_function", "gelu"));
        _selfAttnLayerNorm = Child("self_attn_layer_norm", new LayerNorm(config.HiddenSize));
        _encoderAttn = Child("encoder_attn", new BartAttention(config, config.Decoder.NumHeads, layer, BartAttentionKind.Cross));
        _encoderAttnLayerNorm = Child("encoder_attn_layer_norm", new LayerNorm(config.HiddenSize));
        _fc1 = Child("fc1", new Linear(config.HiddenSize, config.Decoder.IntermediateSize));
        _fc2 = Child("fc2", new Linear(config.Decoder.IntermediateSize, config.HiddenSize));
        _finalLayerNorm = Child("final_layer_norm", new LayerNorm(config.HiddenSize));
    }

    protected internal override void DescribeLayout(Protocol.ModuleInfo info)
    {
        info.Residual = Layouts.Normalized("self_attn_layer_norm", "self_attn", "fc2");
        info.Mlp = Layouts.Mlp("fc1", "fc2");
    }

    public override Axes InputAxes(string argument) => argument switch
    {
        "1" or "attention_mask" => Axes.Attention,
        "2" or "encoder_hidden_states" => Axes.EncoderHidden,
        "encoder_attention_mask" => Axes.CrossAttention,
        _ => Axes.Hidden,
    };

    /// <param name="encoderHidden">[batch, encoderSeq, hidden]</param>
    /// <param name="crossMask">[batch, 1, seq, encoderSeq]</param>
    /// <returns>A tuple: hidden [batch, seq, hidden].</returns>
    public object?[] Call(Tensor hidden, Tensor mask, Tensor encoderHidden, Tensor crossMask, KeyValueCache? cache) => Hook is { } observer
        ? CallHooked<object?[]>(observer, new Arguments([hidden, mask, encoderHidden],
        [
            new("encoder_attention_mask", crossMask), new("past_key_values", cache), new("use_cache", cache is not null),
        ]))
        : Forward(hidden, mask, encoderHidden, crossMask, cache);

    public override object? Run(Arguments arguments) => Forward(
        arguments.Tensor(0, "hidden_states"),
        arguments.Tensor(1, "attention_mask"),
        arguments.Tensor(2, "encoder_hidden_states"),
        arguments.Tensor(3, "encoder_attention_mask"),
        arguments.Get(4, "past_key_values") as KeyValueCache);

    private object?[] Forward(Tensor hidden, Tensor mask, Tensor encoderHidden, Tensor crossMask, KeyValueCache? cache)
    {
        using var scope = NewDisposeScope();
        var attended = (Tensor)_selfAttn.Call(hidden, null, mask, cache)[0]!;                       // [batch, seq, hidden]
        Tensor middle = _selfAttnLayerNorm.Call(hidden + attended);                                 // [batch, seq, hidden]
        var crossed = (Tensor)_encoderAttn.Call(middle, encoderHidden, crossMask, cache)[0]!;       // [batch, seq, hidden]
        middle = _encoderAttnLayerNorm.Call(middle + crossed);                                      // [batch, seq, hidden]
        Tensor intermediate = _activationFn.Call(_fc1.Call(middle));                                // [batch, seq, intermediate]
        Tensor output = _finalLayerNorm.Call(middle + _fc2.Call(intermediate));                     // [batch, seq, hidden]
        return [output.MoveToOuterDisposeScope()];
    }
}
