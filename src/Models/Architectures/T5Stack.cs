using Ndif.Models.Layers;
using static TorchSharp.torch;
using Tensor = TorchSharp.torch.Tensor;

namespace Ndif.Models.Architectures;

/// <summary>The encoder, or the decoder, which attends to the encoder's output too.</summary>
public sealed partial class T5Stack : SiteModule
{
    private readonly bool _isDecoder;
    private readonly Embedding _embedTokens;
    private readonly ModuleList<T5Block> _block;
    private readonly RMSNorm _finalLayerNorm;
    private readonly Dropout _dropout;

    internal T5Stack(T5Config config, Embedding shared, bool isDecoder)
    {
        (ClassName, _isDecoder) = ($"{config.Family}Stack", isDecoder);
        _embedTokens = Child("embed_tokens", new Embedding(config.VocabSize, config.HiddenSize, tiedTable: shared.Table));
        _block = Child("block", new ModuleList<T5Block>(isDecoder ? config.NumDecoderLayers : config.NumLayers,
            layer => new T5Block(config, isDecoder, layer)));
        _finalLayerNorm = Child("final_layer_norm", T5Block.NewNorm(config));
        _dropout = Child("dropout", new Dropout(config.Dropout));
        if (!isDecoder) SetIsOfEncoder();
    }

    public override string ClassName { get; }

    public override Axes OutputAxes(int element) => ResolveTokens(Axes.Hidden);

    public override Axes InputAxes(string argument) => argument switch
    {
        "encoder_hidden_states" or "encoder_attention_mask" => Axes.EncoderHidden,
        "attention_mask" when _isDecoder => new Axes(0, Axes.None, 1),
        _ => ResolveTokens(Axes.Hidden),
    };

    /// <param name="encoderHidden">[batch, encoderSeq, hidden]; null in the encoder.</param>
    /// <param name="encoderMask">[batch, encoderSeq]; null in the encoder.</param>
    /// <returns><c>last_hidden_state</c> [batch, seq, hidden] and, of a decoder, <c>past_key_values</c>, the cache.</returns>
    public ModelOutput Call(Tensor inputIds, Tensor attentionMask, Tensor? encoderHidden = null, Tensor? encoderMask = null,
        KeyValueCache? cache = null) => Hook is { } observer
        ? CallHooked<ModelOutput>(observer, new Arguments([],
        [
            new("input_ids", inputIds), new("attention_mask", attentionMask), new("encoder_hidden_states", encoderHidden),
            new("encoder_attention_mask", encoderMask), new("past_key_values", cache), new("use_cache", cache is not null),
        ]))
        : Forward(inputIds, attentionMask, encoderHidden, encoderMask, cache);

    public override object? Run(Arguments arguments) => Forward(
        arguments.Tensor(0, "input_ids"),
        arguments.Tensor(1, "attention_mask"),
        arguments.Get(2, "encoder_hidden_states") as Tensor,
        arguments.Get(3, "encoder_attention_mask") as Tensor,
        arguments.Get(5, "past_key_values") as KeyValueCache);

    private ModelOutput Forward(Tensor inputIds, Tensor attentionMask, Tensor? encoderHidden, Tensor? encoderMask, KeyValueCache? cache)
    {
        using var scope = NewDisposeScope();
        long seqLen = inputIds.size(1);
        Tensor hidden = _embedTokens.Call(inputIds);                                        // [batch, seq, hidden]
        hidden = _dropout.Call(hidden);                                                     // [batch, seq, hidden]
        Tensor mask = _isDecoder
            ? AttentionMask.Causal(attentionMask, seqLen, hidden.dtype)
            : AttentionMask.Bidirectional(attentionMask, hidden.dtype);                     // [batch, 1, seq, kvSeq]
        Tensor? crossMask = null, positionBias = null, crossPositionBias = null;
        if (encoderMask is not null)
            crossMask = AttentionMask.Cross(encoderMask, seqLen, hidden.dtype);             // [batch, 1, seq, encoderSeq]
        for (int layer = 0; layer < _block.Count; layer++)
        {
            object?[] output = _block[layer].Call(hidden, mask, positionBias, encoderHidden, crossMask, crossPositionBias, cache);
            hidden = (Tensor)output[0]!;                                                    // [batch, seq, hidden]
            positionBias = output.ElementAtOrDefault(1) as Tensor ?? positionBias;          // [batch, heads, seq, kvSeq]
            crossPositionBias = output.ElementAtOrDefault(3) as Tensor ?? crossPositionBias; // [batch, heads, seq, encoderSeq]
        }
        hidden = _finalLayerNorm.Call(hidden);                                              // [batch, seq, hidden]
        hidden = _dropout.Call(hidden);                                                     // [batch, seq, hidden]
        cache?.Advance(seqLen);
        hidden.MoveToOuterDisposeScope();
        return _isDecoder ? new ModelOutput(new("last_hidden_state", hidden), new("past_key_values", cache))
            : new ModelOutput(new KeyValuePair<string, object?>("last_hidden_state", hidden));
    }
}

public sealed partial class T5Block : SiteModule
{
    private readonly T5LayerSelfAttention _selfAttention;
    private readonly T5LayerCrossAttention? _crossAttention;
    private readonly T5LayerFF _feedForward;

    internal T5Block(T5Config config, bool isDecoder, int layer)
    {
        ClassName = $"{config.Family}Block";
        _selfAttention = new T5LayerSelfAttention(config, isDecoder, layer);
        _crossAttention = isDecoder ? new T5LayerCrossAttention(config, layer) : null;
        _feedForward = new T5LayerFF(config);
        SiteModule[] parts = _crossAttention is null ? [_selfAttention, _feedForward] : [_selfAttention, _crossAttention, _feedForward];
        Child("layer", new ModuleList<SiteModule>(parts.Length, i => parts[i]));
    }

    public override string ClassName { get; }

    protected internal override void DescribeLayout(Protocol.ModuleInfo info) => info.Residual = new()
    {
        Kind = Protocol.ResidualKind.Sequential, MidModule = "layer.0", Attention = "layer.0.SelfAttention",
        Mlp = $"layer.{(_crossAttention is null ? 1 : 2)}.DenseReluDense",
    };

    public override Axes OutputAxes(int element) =>
        element == 0 ? ResolveTokens(Axes.Hidden) : element < 3 ? ResolveTokens(Axes.Attention) : Axes.CrossAttention;

    public override Axes InputAxes(string argument) => argument switch
    {
        "1" or "2" or "attention_mask" or "position_bias" => ResolveTokens(Axes.Attention),
        "3" or "encoder_hidden_states" => Axes.EncoderHidden,
        "4" or "5" or "encoder_attention_mask" or "encoder_decoder_position_bias" => Axes.CrossAttention,
        _ => ResolveTokens(Axes.Hidden),
    };

    /// <param name="positionBias">[batch, heads, seq, kvSeq], with the mask; null in the first layer.</param>
    /// <param name="encoderHidden">[batch, encoderSeq, hidden]; null in the encoder.</param>
    /// <param name="crossMask">[batch, 1, seq, encoderSeq]; null in the encoder.</param>
    /// <param name="crossPositionBias">[batch, heads, seq, encoderSeq], with the mask; null in the first layer and in the encoder.</param>
    /// <returns>
    /// A tuple: hidden [batch, seq, hidden], position bias and probabilities [batch, heads, seq, kvSeq], and of a decoder those of cross
    /// attention [batch, heads, seq, encoderSeq].
    /// </returns>
    public object?[] Call(Tensor hidden, Tensor mask, Tensor? positionBias, Tensor? encoderHidden, Tensor? crossMask,
        Tensor? crossPositionBias, KeyValueCache? cache) => Hook is { } observer
        ? CallHooked<object?[]>(observer, new Arguments([hidden, mask, positionBias, encoderHidden, crossMask, crossPositionBias],
            [new("past_key_values", cache), new("use_cache", cache is not null)]))
        : Forward(hidden, mask, positionBias, encoderHidden, crossMask, crossPositionBias, cache);

    public override object? Run(Arguments arguments) => Forward(
        arguments.Tensor(0, "hidden_states"),
        arguments.Tensor(1, "attention_mask"),
        arguments.Get(2, "position_bias") as Tensor,
        arguments.Get(3, "encoder_hidden_states") as Tensor,
        arguments.Get(4, "encoder_attention_mask") as Tensor,
        arguments.Get(5, "encoder_decoder_position_bias") as Tensor,
        arguments.Get(6, "past_key_values") as KeyValueCache);

    private object?[] Forward(Tensor hidden, Tensor mask, Tensor? positionBias, Tensor? encoderHidden, Tensor? crossMask,
        Tensor? crossPositionBias, KeyValueCache? cache)
    {
        using var scope = NewDisposeScope();
        object?[] attended = _selfAttention.Call(hidden, mask, positionBias, cache);
        object?[] crossed = [];
        var output = (Tensor)attended[0]!;                                                  // [batch, seq, hidden]
        if (_crossAttention is not null && encoderHidden is not null)
        {
            crossed = _crossAttention.Call(output, encoderHidden, crossMask, crossPositionBias, cache);
            output = (Tensor)crossed[0]!;                                                   // [batch, seq, hidden]
        }
        output = _feedForward.Call(output);                                                 // [batch, seq, hidden]
        object?[] results = [output, .. attended.Skip(1), .. crossed.Skip(1)];
        MoveToOuterScope(results, positionBias, crossPositionBias);
        return results;
    }

    /// <summary>
    /// Moves the results of a forward out of its dispose scope. A bias that was given, and is returned as it is, belongs to the caller.
    /// </summary>
    internal static void MoveToOuterScope(object?[] results, params ReadOnlySpan<object?> given)
    {
        foreach (object? result in results)
        {
            bool isGiven = false;
            foreach (object? tensor in given) isGiven |= ReferenceEquals(tensor, result); // Tensor.Equals compares the values
            if (!isGiven) (result as Tensor)?.MoveToOuterDisposeScope();
        }
    }

    internal static RMSNorm NewNorm(T5Config config) => new($"{config.Family}LayerNorm", config.HiddenSize, config.NormEps, format: "");
}
