using Ndif.Models.Config;
using Ndif.Models.CpuKernels;
using Ndif.Models.Layers;
using Ndif.Protocol;
using static TorchSharp.torch;
using Tensor = TorchSharp.torch.Tensor;

namespace Ndif.Models.Architectures;

/// <summary>The config.json of a BART.</summary>
/// <param name="EmbeddingFactor">The factor of the embeddings: 1, or the square root of the hidden size.</param>
/// <remarks>transformers/models/bart/configuration_bart.py</remarks>
public sealed record BartConfig(
    ConfigReader Json, int VocabSize, int MaxPositions, int HiddenSize, BartStackConfig Encoder, BartStackConfig Decoder, int PadTokenId,
    double EmbeddingFactor, bool TieWordEmbeddings)
{
    public static BartConfig Read(ConfigReader json)
    {
        int hiddenSize = json.Size("d_model", 1024);
        return new BartConfig(
            json, json.Size("vocab_size", 50265), json.Size("max_position_embeddings", 1024), hiddenSize, Stack("encoder"), Stack("decoder"),
            json.Count("pad_token_id", 1), json.Flag("scale_embedding", false) ? Math.Sqrt(hiddenSize) : 1,
            json.Flag("tie_word_embeddings", true));

        BartStackConfig Stack(string name)
        {
            string key = $"{name}_attention_heads";
            int heads = json.Size(key, 16);
            if (hiddenSize % heads != 0) throw json.InvalidValue(key, $"must divide d_model, {hiddenSize}", $"{heads}");
            return new BartStackConfig(json.Size($"{name}_layers", 12), heads, json.Size($"{name}_ffn_dim", 4096));
        }
    }
}

/// <summary>The sizes that encoder and decoder may have each of their own.</summary>
public sealed record BartStackConfig(int NumLayers, int NumHeads, int IntermediateSize);

/// <summary>BART: learned positions, norms after attention and mlp.</summary>
/// <remarks>transformers/models/bart/modeling_bart.py; Lewis et al., 2020</remarks>
[Architecture("BartForConditionalGeneration", ModelType = "bart")]
public sealed partial class BartForConditionalGeneration : Seq2SeqLM
{
    private readonly BartModel _model;
    private readonly Linear _lmHead;
    private readonly Parameter _finalLogitsBias; // [1, vocab]

    public BartForConditionalGeneration(ConfigReader json)
    {
        BartConfig config = BartConfig.Read(json);
        Config = new PreTrainedConfig(config.VocabSize, config.MaxPositions, config.Decoder.NumLayers);
        DecoderStartTokenId = json.Count("decoder_start_token_id", 2);
        _finalLogitsBias = ZeroBuffer("final_logits_bias", 1, config.VocabSize);
        _model = Child("model", new BartModel(config));
        _lmHead = Child("lm_head", new Linear(config.HiddenSize, config.VocabSize, bias: false,
            config.TieWordEmbeddings ? _model.Shared.Table : null));
    }

    public override StandardNames Names => new()
    {
        Embed = "model.shared", Layers = "model.decoder.layers", LmHead = "lm_head", Attention = "self_attn", Mlp = "fc2",
        Encoder = "model.encoder", Decoder = "model.decoder", EncoderLayers = "model.encoder.layers", CrossAttention = "encoder_attn",
    };

    public override PreTrainedConfig Config { get; }

    public override string BaseModelPrefix => "model";

    public override int DecoderStartTokenId { get; }

    public override bool HasPositionTable => true;

    /// <summary>The version number that fairseq's checkpoints carry.</summary>
    protected internal override IReadOnlyList<string> IgnoredSuffixes => ["encoder.version", "decoder.version"];

    private protected override ModelOutput Forward(Tensor? inputIds, Tensor attentionMask, Tensor decoderInputIds,
        Tensor decoderAttentionMask, Tensor? encoderOutput, KeyValueCache? cache, int logitsToKeep)
    {
        using var scope = NewDisposeScope();
        ModelOutput output = _model.Call(inputIds, attentionMask, decoderInputIds, decoderAttentionMask, encoderOutput, cache);
        var encoded = (Tensor)output["encoder_last_hidden_state"]!;                     // [batch, encoderSeq, hidden]
        Tensor hidden = Kept((Tensor)output["last_hidden_state"]!, logitsToKeep);       // [batch, seq, hidden]
        Tensor logits = _lmHead.Call(hidden) + _finalLogitsBias.Value;                  // [batch, seq, vocab]
        if (encoderOutput is null) encoded.MoveToOuterDisposeScope();
        return new ModelOutput(new("logits", logits.MoveToOuterDisposeScope()), new("past_key_values", cache),
            new("encoder_last_hidden_state", encoded));
    }
}

public sealed partial class BartModel : SiteModule
{
    private readonly BartEncoder _encoder;
    private readonly BartDecoder _decoder;

    internal BartModel(BartConfig config)
    {
        Shared = Child("shared", NewEmbedding(config, null));
        _encoder = Child("encoder", new BartEncoder(config, Shared));
        _decoder = Child("decoder", new BartDecoder(config, Shared));
    }

    internal Embedding Shared { get; }

    public override Axes OutputAxes(int element) => element == 2 ? Axes.EncoderHidden : Axes.Hidden;

    public override Axes InputAxes(string argument) => argument switch
    {
        "input_ids" or "attention_mask" or "encoder_outputs" => Axes.EncoderHidden,
        "decoder_attention_mask" => new Axes(0, Axes.None, 1),
        _ => Axes.Hidden,
    };

    /// <param name="inputIds">[batch, encoderSeq]; null if the encoder's output is given.</param>
    /// <param name="attentionMask">[batch, encoderSeq]</param>
    /// <param name="decoderInputIds">[batch, seq]</param>
    /// <param name="decoderAttentionMask">[batch, kvSeq]</param>
    /// <param name="encoderOutput">[batch, encoderSeq, hidden]</param>
    /// <returns>
    /// <c>last_hidden_state</c> [batch, seq, hidden], <c>past_key_values</c>, <c>encoder_last_hidden_state</c> [batch, encoderSeq, hidden].
    /// </returns>
    public ModelOutput Call(Tensor? inputIds, Tensor attentionMask, Tensor decoderInputIds, Tensor decoderAttentionMask,
        Tensor? encoderOutput, KeyValueCache? cache) => Hook is { } observer
        ? CallHooked<ModelOutput>(observer, new Arguments([],
        [
            new("input_ids", inputIds), new("attention_mask", attentionMask), new("decoder_input_ids", decoderInputIds),
            new("decoder_attention_mask", decoderAttentionMask), new("encoder_outputs", encoderOutput), new("past_key_values", cache),
            new("use_cache", cache is not null),
        ]))
        : Forward(inputIds, attentionMask, decoderInputIds, decoderAttentionMask, encoderOutput, cache);

    public override object? Run(Arguments arguments) => Forward(
        arguments.Get(0, "input_ids") as Tensor,
        arguments.Tensor(1, "attention_mask"),
        arguments.Tensor(2, "decoder_input_ids"),
        arguments.Tensor(3, "decoder_attention_mask"),
        arguments.Get(4, "encoder_outputs") as Tensor,
        arguments.Get(5, "past_key_values") as KeyValueCache);

    private ModelOutput Forward(Tensor? inputIds, Tensor attentionMask, Tensor decoderInputIds, Tensor decoderAttentionMask,
        Tensor? encoderOutput, KeyValueCache? cache)
    {
        Tensor encoded = encoderOutput ?? (Tensor)_encoder.Call(inputIds!, attentionMask)["last_hidden_state"]!; // [batch, encoderSeq, hidden]
        if (encoderOutput is null) cache?.SetEncoderOutput(encoded, attentionMask);
        ModelOutput output = _decoder.Call(decoderInputIds, decoderAttentionMask, encoded, attentionMask, cache);
        return new ModelOutput([.. output.Entries, new("encoder_last_hidden_state", encoded)]);
    }

    internal static Embedding NewEmbedding(BartConfig config, Parameter? tiedTable) => new(config.VocabSize, config.HiddenSize,
        config.PadTokenId, "BartScaledWordEmbedding", factor: config.EmbeddingFactor, tiedTable: tiedTable);
}

/// <summary>A table of positions whose first two rows belong to none.</summary>
public sealed partial class BartLearnedPositionalEmbedding : SiteModule
{
    private const int Offset = 2;
    private readonly Parameter _weight; // [maxPositions + 2, hidden]

    internal BartLearnedPositionalEmbedding(BartConfig config)
    {
        ExtraRepr = FormattableString.Invariant($"{config.MaxPositions + (long)Offset}, {config.HiddenSize}");
        _weight = Weight("weight", config.MaxPositions + (long)Offset, config.HiddenSize);
    }

    public override string ExtraRepr { get; }

    public override bool ReturnsTensor => true;

    public override Axes OutputAxes(int element) => ResolveTokens(Axes.Hidden);

    public override Axes InputAxes(string argument) => ResolveTokens(Axes.Hidden);

    /// <param name="input">A tensor [batch, seq], of which only the size is read if no positions are given.</param>
    /// <param name="cached">Tokens in the cache; null in the encoder.</param>
    /// <param name="positionIds">[batch, seq] int64; null in the encoder, whose rows begin in the first column.</param>
    /// <returns>[batch, seq, hidden]</returns>
    public Tensor Call(Tensor input, long? cached = null, Tensor? positionIds = null) => Hook is { } observer
        ? CallHooked<Tensor>(observer, cached is null ? new Arguments(input)
            : new Arguments([input, cached], [new("position_ids", positionIds)]))
        : Forward(input, positionIds);

    public override object? Run(Arguments arguments) => Forward(arguments.Tensor(0), arguments.Get(2, "position_ids") as Tensor);

    private Tensor Forward(Tensor input, Tensor? positionIds)
    {
        using var scope = NewDisposeScope();
        Tensor positions = positionIds ?? arange(input.size(1), device: input.device).unsqueeze(0).expand(input.size(0), -1); // [batch, seq]
        return _weight.Value.index(TensorIndex.Tensor(positions + Offset)).MoveToOuterDisposeScope();        // [batch, seq, hidden]
    }
}

public sealed partial class BartEncoder : SiteModule
{
    private readonly Embedding _embedTokens;
    private readonly BartLearnedPositionalEmbedding _embedPositions;
    private readonly ModuleList<BartEncoderLayer> _layers;
    private readonly LayerNorm _layernormEmbedding;

    internal BartEncoder(BartConfig config, Embedding shared)
    {
        _embedTokens = Child("embed_tokens", BartModel.NewEmbedding(config, shared.Table));
        _embedPositions = Child("embed_positions", new BartLearnedPositionalEmbedding(config));
        _layers = Child("layers", new ModuleList<BartEncoderLayer>(config.Encoder.NumLayers, layer => new BartEncoderLayer(config, layer)));
        _layernormEmbedding = Child("layernorm_embedding", new LayerNorm(config.HiddenSize));
        SetIsOfEncoder();
    }

    public override Axes OutputAxes(int element) => Axes.EncoderHidden;

    public override Axes InputAxes(string argument) => Axes.EncoderHidden;

    /// <returns><c>last_hidden_state</c> [batch, seq, hidden].</returns>
    public ModelOutput Call(Tensor inputIds, Tensor attentionMask) => Hook is { } observer
        ? CallHooked<ModelOutput>(observer, new Arguments([], [new("input_ids", inputIds), new("attention_mask", attentionMask)]))
        : Forward(inputIds, attentionMask);

    public override object? Run(Arguments arguments) => Forward(arguments.Tensor(0, "input_ids"), arguments.Tensor(1, "attention_mask"));

    private ModelOutput Forward(Tensor inputIds, Tensor attentionMask)
    {
        using var scope = NewDisposeScope();
        Tensor hidden = _embedTokens.Call(inputIds);                                        // [batch, seq, hidden]
        Tensor positions = _embedPositions.Call(hidden.select(-1, 0));                      // [batch, seq, hidden]
        hidden = _layernormEmbedding.Call(hidden + positions);                              // [batch, seq, hidden]
        Tensor mask = AttentionMask.Bidirectional(attentionMask, hidden.dtype);             // [batch, 1, seq, kvSeq]
        for (int layer = 0; layer < _layers.Count; layer++)
            hidden = (Tensor)_layers[layer].Call(hidden, mask)[0]!;                         // [batch, seq, hidden]
        return new ModelOutput(new KeyValuePair<string, object?>("last_hidden_state", hidden.MoveToOuterDisposeScope()));
    }
}

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

public sealed partial class BartEncoderLayer : SiteModule
{
    private readonly BartAttention _selfAttn;
    private readonly LayerNorm _selfAttnLayerNorm, _finalLayerNorm;
    private readonly Activation _activationFn;
    private readonly Linear _fc1, _fc2;

    internal BartEncoderLayer(BartConfig config, int layer)
    {
        _selfAttn = Child("self_attn", new BartAttention(config, config.Encoder.NumHeads, layer, BartAttentionKind.Encoder));
        _selfAttnLayerNorm = Child("self_attn_layer_norm", new LayerNorm(config.HiddenSize));
        _activationFn = Child("activation_fn", Activation.Read(config.Json, "activation_function", "gelu"));
        _fc1 = Child("fc1", new Linear(config.HiddenSize, config.Encoder.IntermediateSize));
        _fc2 = Child("fc2", new Linear(config.Encoder.IntermediateSize, config.HiddenSize));
        _finalLayerNorm = Child("final_layer_norm", new LayerNorm(config.HiddenSize));
    }

    public override Axes OutputAxes(int element) => Axes.EncoderHidden;

    public override Axes InputAxes(string argument) =>
        ResolveTokens(argument is "1" or "attention_mask" ? Axes.Attention : Axes.Hidden);

    /// <returns>A tuple: hidden [batch, seq, hidden].</returns>
    public object?[] Call(Tensor hidden, Tensor mask) => Hook is { } observer
        ? CallHooked<object?[]>(observer, new Arguments([hidden, mask], [new("use_cache", false)]))
        : Forward(hidden, mask);

    public override object? Run(Arguments arguments) =>
        Forward(arguments.Tensor(0, "hidden_states"), arguments.Tensor(1, "attention_mask"));

    private object?[] Forward(Tensor hidden, Tensor mask)
    {
        using var scope = NewDisposeScope();
        var attended = (Tensor)_selfAttn.Call(hidden, null, mask, null)[0]!;                        // [batch, seq, hidden]
        Tensor middle = _selfAttnLayerNorm.Call(hidden + attended);                                 // [batch, seq, hidden]
        Tensor intermediate = _activationFn.Call(_fc1.Call(middle));                                // [batch, seq, intermediate]
        Tensor output = _finalLayerNorm.Call(middle + _fc2.Call(intermediate));                     // [batch, seq, hidden]
        return [output.MoveToOuterDisposeScope()];
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

/// <summary>Whose tokens attend to whose.</summary>
internal enum BartAttentionKind
{
    Encoder,
    Decoder,
    Cross,
}

public sealed partial class BartAttention : SiteModule
{
    private readonly int _layer, _heads, _headDim;
    private readonly BartAttentionKind _kind;
    private readonly double _scale;
    private readonly Linear _kProj, _vProj, _qProj, _outProj;
    private readonly FusedAttention? _fusedAttention;

    internal BartAttention(BartConfig config, int heads, int layer, BartAttentionKind kind)
    {
        (_layer, _heads, _headDim, _kind) = (layer, heads, config.HiddenSize / heads, kind);
        _scale = 1 / Math.Sqrt(_headDim);
        _kProj = Child("k_proj", new Linear(config.HiddenSize, config.HiddenSize));
        _vProj = Child("v_proj", new Linear(config.HiddenSize, config.HiddenSize));
        _qProj = Child("q_proj", new Linear(config.HiddenSize, config.HiddenSize));
        _outProj = Child("out_proj", new Linear(config.HiddenSize, config.HiddenSize));
        if (kind is BartAttentionKind.Decoder)
            _fusedAttention = new FusedAttention(this, layer, _heads, _heads, _headDim, _scale)
            {
                Projections = [_qProj, _kProj, _vProj], OutputProjection = _outProj,
            };
        if (kind is not BartAttentionKind.Cross) return;
        _kProj.SetIsOfEncoder();
        _vProj.SetIsOfEncoder();
    }

    protected internal override Axes ResolveTokens(Axes axes) => _kind is BartAttentionKind.Cross
        ? axes with { IsKvSeqOfEncoder = axes.KvSeq != Axes.None } : base.ResolveTokens(axes);

    public override Axes OutputAxes(int element) => ResolveTokens(element == 1 ? Axes.Attention : Axes.Hidden);

    public override Axes InputAxes(string argument) => argument switch
    {
        "key_value_states" => Axes.EncoderHidden,
        "attention_mask" => ResolveTokens(Axes.Attention),
        _ => ResolveTokens(Axes.Hidden),
    };

    /// <param name="keyValueStates">The encoder's output in cross attention, [batch, kvSeq, hidden].</param>
    /// <returns>A tuple: output [batch, seq, hidden], probabilities [batch, heads, seq, kvSeq].</returns>
    public object?[] Call(Tensor hidden, Tensor? keyValueStates, Tensor mask, KeyValueCache? cache) => Hook is { } observer
        ? CallHooked<object?[]>(observer, new Arguments([hidden], _kind switch
        {
            BartAttentionKind.Encoder => [new("attention_mask", mask), new("use_cache", false)],
            BartAttentionKind.Decoder => [new("past_key_values", cache), new("attention_mask", mask)],
            _ => [new("key_value_states", keyValueStates), new("attention_mask", mask), new("past_key_values", cache)],
        }))
        : Forward(hidden, keyValueStates, mask, cache);

    public override object? Run(Arguments arguments) => Forward(
        arguments.Tensor(0, "hidden_states"),
        arguments.Get(1, "key_value_states") as Tensor,
        arguments.Tensor(3, "attention_mask"),
        arguments.Get(2, "past_key_values") as KeyValueCache);

    private object?[] Forward(Tensor hidden, Tensor? keyValueStates, Tensor mask, KeyValueCache? cache)
    {
        if (_fusedAttention?.TryForward(hidden, cache, mask) is { } fused) return fused;
        using var scope = NewDisposeScope();
        Tensor query = EagerAttention.SplitHeads(_qProj.Call(hidden), _heads, _headDim);            // [batch, heads, seq, headDim]
        Tensor key, value;
        if (keyValueStates is null)
        {
            key = EagerAttention.SplitHeads(_kProj.Call(hidden), _heads, _headDim);                 // [batch, heads, seq, headDim]
            value = EagerAttention.SplitHeads(_vProj.Call(hidden), _heads, _headDim);               // [batch, heads, seq, headDim]
            if (cache is not null) (key, value) = cache.Update(_layer, key, value);
        }
        else if (cache?.CrossAttention(_layer) is { } cached) (key, value) = cached;
        else
        {
            key = EagerAttention.SplitKeyHeads(_kProj.Call(keyValueStates), _heads, _headDim);      // [batch, heads, kvSeq, headDim]
            value = EagerAttention.SplitKeyHeads(_vProj.Call(keyValueStates), _heads, _headDim);    // [batch, heads, kvSeq, headDim]
            cache?.SetCrossAttention(_layer, key, value);
        }
        var (mixed, probabilities) = EagerAttention.Forward(query, key, value, mask, _scale);
        Tensor output = _outProj.Call(mixed.flatten(2));                                            // [batch, seq, hidden]
        return [output.MoveToOuterDisposeScope(), probabilities.MoveToOuterDisposeScope()];
    }
}
