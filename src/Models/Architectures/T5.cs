using Ndif.Models.Config;
using Ndif.Models.Layers;
using Ndif.Protocol;
using static TorchSharp.torch;
using Tensor = TorchSharp.torch.Tensor;

namespace Ndif.Models.Architectures;

/// <summary>The config.json of a T5.</summary>
/// <param name="Family">The prefix of the class names: "T5", "MT5".</param>
/// <param name="ScalesOutput">Whether the decoder's output is multiplied by the hidden size to the power of -0.5.</param>
/// <remarks>transformers/models/t5/configuration_t5.py</remarks>
public sealed record T5Config(
    string Family, ConfigReader Json, int VocabSize, int HiddenSize, int HeadDim, int IntermediateSize, int NumLayers, int NumDecoderLayers,
    int NumHeads, int NumBuckets, int MaxDistance, double NormEps, double Dropout, string ActivationName, bool IsGated,
    bool TieWordEmbeddings, bool ScalesOutput)
{
    private const string Gated = "gated-";

    public static T5Config Read(ConfigReader json, bool isMultilingual = false)
    {
        string projection = json.Text("feed_forward_proj", isMultilingual ? "gated-gelu" : "relu");
        bool isGated = projection.StartsWith(Gated, StringComparison.Ordinal), isTied = json.Flag("tie_word_embeddings", !isMultilingual);
        string activation = projection is "gated-gelu" ? "gelu_new" : isGated ? projection[Gated.Length..] : projection;
        int numLayers = json.Size("num_layers", isMultilingual ? 8 : 6);
        int numBuckets = json.Size("relative_attention_num_buckets", 32), maxDistance = json.Size("relative_attention_max_distance", 128);
        if (numBuckets < 4) throw json.InvalidValue("relative_attention_num_buckets", "must be at least 4", $"{numBuckets}");
        if (maxDistance <= numBuckets / 2)
            throw json.InvalidValue("relative_attention_max_distance", $"must be larger than half of {numBuckets} buckets", $"{maxDistance}");
        return new T5Config(
            isMultilingual ? "MT5" : "T5", json, json.Size("vocab_size", isMultilingual ? 250112 : 32128), json.Size("d_model", 512),
            json.Size("d_kv", 64), json.Size("d_ff", isMultilingual ? 1024 : 2048), numLayers, json.Size("num_decoder_layers", numLayers),
            json.Size("num_heads", isMultilingual ? 6 : 8), numBuckets, maxDistance, json.Real("layer_norm_epsilon", 1e-6),
            json.Real("dropout_rate", 0.1), activation, isGated, isTied, json.Flag("scale_decoder_outputs", isTied));
    }
}

/// <summary>T5: norms before each part, attention with a bias by the distance of two tokens, which the first layer computes.</summary>
/// <remarks>transformers/models/t5/modeling_t5.py; Raffel et al., 2020</remarks>
[Architecture("T5ForConditionalGeneration", ModelType = "t5")]
public partial class T5ForConditionalGeneration : Seq2SeqLM
{
    private readonly T5Config _config;
    private readonly T5Stack _encoder, _decoder;
    private readonly Linear _lmHead;

    public T5ForConditionalGeneration(ConfigReader json) : this(T5Config.Read(json)) { }

    private protected T5ForConditionalGeneration(T5Config config)
    {
        _config = config;
        Config = new PreTrainedConfig(config.VocabSize, config.Json.Size("n_positions", 512), config.NumDecoderLayers);
        DecoderStartTokenId = config.Json.Count("decoder_start_token_id", config.Json.Count("pad_token_id", 0));
        Embedding shared = Child("shared", new Embedding(config.VocabSize, config.HiddenSize));
        _encoder = Child("encoder", new T5Stack(config, shared, isDecoder: false));
        _decoder = Child("decoder", new T5Stack(config, shared, isDecoder: true));
        _lmHead = Child("lm_head",
            new Linear(config.HiddenSize, config.VocabSize, bias: false, config.TieWordEmbeddings ? shared.Table : null));
    }

    public override StandardNames Names => new()
    {
        Embed = "shared", Layers = "decoder.block", FinalNorm = "decoder.final_layer_norm", LmHead = "lm_head",
        Attention = "layer.0.SelfAttention", Mlp = "layer.2.DenseReluDense", Encoder = "encoder", Decoder = "decoder",
        EncoderLayers = "encoder.block", CrossAttention = "layer.1.EncDecAttention",
    };

    public override PreTrainedConfig Config { get; }

    public override string BaseModelPrefix => "";

    public override int DecoderStartTokenId { get; }

    /// <summary>The bias of cross attention, which the first checkpoints have and no version uses.</summary>
    protected internal override IReadOnlyList<string> IgnoredSuffixes => [".EncDecAttention.relative_attention_bias.weight"];

    internal override bool TiesMissingHead => true;

    internal override ConfigReader WithTies(ConfigReader json, bool tied) =>
        base.WithTies(json, tied).With("scale_decoder_outputs", _config.ScalesOutput);

    private protected override ModelOutput Forward(Tensor? inputIds, Tensor attentionMask, Tensor decoderInputIds,
        Tensor decoderAttentionMask, Tensor? encoderOutput, KeyValueCache? cache, int logitsToKeep)
    {
        using var scope = NewDisposeScope();
        Tensor encoded = encoderOutput ?? (Tensor)_encoder.Call(inputIds!, attentionMask)["last_hidden_state"]!; // [batch, encoderSeq, hidden]
        if (encoderOutput is null) cache?.SetEncoderOutput(encoded, attentionMask);
        ModelOutput output = _decoder.Call(decoderInputIds, decoderAttentionMask, encoded, attentionMask, cache);
        Tensor hidden = Kept((Tensor)output["last_hidden_state"]!, logitsToKeep);                           // [batch, seq, hidden]
        if (_config.ScalesOutput) hidden = hidden * Math.Pow(_config.HiddenSize, -0.5);                     // [batch, seq, hidden]
        Tensor logits = _lmHead.Call(hidden);                                                               // [batch, seq, vocab]
        if (encoderOutput is null) encoded.MoveToOuterDisposeScope();
        return new ModelOutput(new("logits", logits.MoveToOuterDisposeScope()), new("past_key_values", cache),
            new("encoder_last_hidden_state", encoded));
    }
}

/// <summary>mT5: the second version of T5, for a hundred languages.</summary>
/// <remarks>transformers/models/mt5/modeling_mt5.py and configuration_mt5.py; Xue et al., 2021</remarks>
[Architecture("MT5ForConditionalGeneration", ModelType = "mt5")]
public sealed class MT5ForConditionalGeneration(ConfigReader json) : T5ForConditionalGeneration(T5Config.Read(json, isMultilingual: true))
{
    public override string ClassName => "MT5ForConditionalGeneration";
}

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
        return Results([output, .. attended.Skip(1), .. crossed.Skip(1)], positionBias, crossPositionBias);
    }

    /// <summary>
    /// Moves the results of a forward out of its dispose scope. A bias that was given, and is returned as it is, belongs to the caller.
    /// </summary>
    internal static object?[] Results(object?[] results, params ReadOnlySpan<Tensor?> given)
    {
        foreach (object? result in results)
            if (result is Tensor tensor && !given.Contains(tensor)) tensor.MoveToOuterDisposeScope();
        return results;
    }

    internal static RMSNorm NewNorm(T5Config config) => new($"{config.Family}LayerNorm", config.HiddenSize, config.NormEps, format: "");
}

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
        return T5Block.Results([output, .. attended.Skip(1)], positionBias);
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
        return T5Block.Results([output, .. attended.Skip(1)], crossPositionBias);
    }
}

/// <summary>Attention to the tokens of the same stack, or of a decoder to those of the encoder. Scores are not scaled.</summary>
public sealed partial class T5Attention : SiteModule
{
    private readonly int _layer, _heads, _headDim;
    private readonly bool _isCross;
    private readonly RelativePositionBuckets? _buckets;
    private readonly Linear _q, _k, _v, _o;
    private readonly Embedding? _relativeAttentionBias;

    internal T5Attention(T5Config config, int layer, bool isCross, RelativePositionBuckets? buckets)
    {
        (ClassName, _layer, _heads, _headDim) = ($"{config.Family}Attention", layer, config.NumHeads, config.HeadDim);
        (_isCross, _buckets) = (isCross, buckets);
        int inner = checked(_heads * _headDim);
        _q = Child("q", new Linear(config.HiddenSize, inner, bias: false));
        _k = Child("k", new Linear(config.HiddenSize, inner, bias: false));
        _v = Child("v", new Linear(config.HiddenSize, inner, bias: false));
        _o = Child("o", new Linear(inner, config.HiddenSize, bias: false));
        if (buckets is not null)
        {
            _relativeAttentionBias = Child("relative_attention_bias", new Embedding(config.NumBuckets, _heads));
            _relativeAttentionBias.SetAxes(new Axes(Axes.None, 0, 1));
        }
        if (!isCross) return;
        _k.SetIsOfEncoder();
        _v.SetIsOfEncoder();
    }

    public override string ClassName { get; }

    protected internal override Axes ResolveTokens(Axes axes) =>
        _isCross ? axes with { IsKvSeqOfEncoder = axes.KvSeq != Axes.None } : base.ResolveTokens(axes);

    public override Axes OutputAxes(int element) => ResolveTokens(element == 0 ? Axes.Hidden : Axes.Attention);

    public override Axes InputAxes(string argument) => argument switch
    {
        "key_value_states" => Axes.EncoderHidden,
        "mask" or "position_bias" => ResolveTokens(Axes.Attention),
        _ => ResolveTokens(Axes.Hidden),
    };

    /// <param name="keyValueStates">The encoder's output in cross attention, [batch, kvSeq, hidden].</param>
    /// <param name="positionBias">[batch, heads, seq, kvSeq], with the mask; null in the first layer.</param>
    /// <returns>A tuple: output [batch, seq, hidden], position bias and probabilities [batch, heads, seq, kvSeq].</returns>
    public object?[] Call(Tensor hidden, Tensor? mask, Tensor? keyValueStates, Tensor? positionBias, KeyValueCache? cache) =>
        Hook is { } observer ? CallHooked<object?[]>(observer, new Arguments([hidden], _isCross
            ?
            [
                new("mask", mask), new("key_value_states", keyValueStates), new("position_bias", positionBias),
                new("past_key_values", cache),
            ]
            :
            [
                new("mask", mask), new("position_bias", positionBias), new("past_key_values", cache), new("use_cache", cache is not null),
            ]))
        : Forward(hidden, mask, keyValueStates, positionBias, cache);

    public override object? Run(Arguments arguments) => Forward(
        arguments.Tensor(0, "hidden_states"),
        arguments.Get(1, "mask") as Tensor,
        arguments.Get(2, "key_value_states") as Tensor,
        arguments.Get(3, "position_bias") as Tensor,
        arguments.Get(4, "past_key_values") as KeyValueCache);

    private object?[] Forward(Tensor hidden, Tensor? mask, Tensor? keyValueStates, Tensor? positionBias, KeyValueCache? cache)
    {
        using var scope = NewDisposeScope();
        Tensor query = EagerAttention.SplitHeads(_q.Call(hidden), _heads, _headDim);                // [batch, heads, seq, headDim]
        Tensor key, value;
        if (keyValueStates is null)
        {
            key = EagerAttention.SplitHeads(_k.Call(hidden), _heads, _headDim);                     // [batch, heads, seq, headDim]
            value = EagerAttention.SplitHeads(_v.Call(hidden), _heads, _headDim);                   // [batch, heads, seq, headDim]
            if (cache is not null) (key, value) = cache.Update(_layer, key, value);
        }
        else if (cache?.CrossAttention(_layer) is { } cached) (key, value) = cached;
        else
        {
            key = EagerAttention.SplitKeyHeads(_k.Call(keyValueStates), _heads, _headDim);          // [batch, heads, kvSeq, headDim]
            value = EagerAttention.SplitKeyHeads(_v.Call(keyValueStates), _heads, _headDim);        // [batch, heads, kvSeq, headDim]
            cache?.SetCrossAttention(_layer, key, value);
        }
        Tensor bias = positionBias ?? PositionBias(hidden, key, mask);                              // [batch, heads, seq, kvSeq]
        var (mixed, probabilities) = EagerAttention.Forward(query, key, value, bias, 1);
        Tensor output = _o.Call(mixed.flatten(2));                                                  // [batch, seq, hidden]
        return T5Block.Results([output, bias, probabilities], positionBias);
    }

    /// <summary>The bias by distance, which is zero where there is none, and the mask.</summary>
    /// <returns>[batch, heads, seq, kvSeq]</returns>
    private Tensor PositionBias(Tensor hidden, Tensor key, Tensor? mask)
    {
        long seqLen = hidden.size(1), kvSeqLen = key.size(2);
        Tensor bias;                                                                                // [1, heads, seq, kvSeq]
        if (_buckets is null || _relativeAttentionBias is null) bias = zeros([1, _heads, seqLen, kvSeqLen], hidden.dtype, hidden.device);
        else
        {
            Tensor buckets = _buckets.Of(seqLen, kvSeqLen, hidden.device);                          // [seq, kvSeq]
            bias = _relativeAttentionBias.Call(buckets).permute(2, 0, 1).unsqueeze(0);
        }
        return mask is null ? bias : bias + mask;
    }
}

[ForwardSource.SharedLayer]
public sealed partial class T5FeedForward : TensorModule
{
    private readonly Linear _wi, _wo;
    private readonly Linear? _gated;
    private readonly Dropout _dropout;
    private readonly Activation _act;
    private readonly CpuKernels.FusedMlp _fusedMlp;

    internal T5FeedForward(T5Config config)
    {
        ClassName = $"{config.Family}Dense{(config.IsGated ? "Gated" : "")}ActDense";
        _wi = Child(config.IsGated ? "wi_0" : "wi", new Linear(config.HiddenSize, config.IntermediateSize, bias: false));
        _gated = config.IsGated ? Child("wi_1", new Linear(config.HiddenSize, config.IntermediateSize, bias: false)) : null;
        _wo = Child("wo", new Linear(config.IntermediateSize, config.HiddenSize, bias: false));
        _dropout = Child("dropout", new Dropout(config.Dropout));
        _act = Child("act", Activation.Named(config.ActivationName, config.Json, "feed_forward_proj"));
        _fusedMlp = new CpuKernels.FusedMlp(this, _gated is null ? null : _wi, _gated ?? _wi, _wo, _act.Kind);
    }

    public override string ClassName { get; }

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
