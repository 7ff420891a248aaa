using Ndif.Models.Config;
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
            json, json.Size("vocab_size", 50265), json.Size("max_position_embeddings", 1024), hiddenSize, Stack("encoder"),
            Stack("decoder"), json.Count("pad_token_id", 1), json.Flag("scale_embedding", false) ? Math.Sqrt(hiddenSize) : 1,
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
        DecoderStartTokenId = ReadStartToken(json, 2, config.VocabSize);
        _finalLogitsBias = ZeroBuffer("final_logits_bias", 1, config.VocabSize);
        _model = Child("model", new BartModel(config));
        _lmHead = Child("lm_head", new Linear(config.HiddenSize, config.VocabSize, bias: false,
            config.TieWordEmbeddings ? _model.Shared.Table : null));
    }

    public override StandardNames Names => new()
    {
        Embed = "model.decoder.embed_tokens", Layers = "model.decoder.layers", LmHead = "lm_head", Attention = "self_attn",
        CrossAttention = "encoder_attn", Mlp = "fc2", Encoder = "model.encoder", Decoder = "model.decoder",
        EncoderLayers = "model.encoder.layers",
    };

    public override PreTrainedConfig Config { get; }

    public override string BaseModelPrefix => "model";

    public override int DecoderStartTokenId { get; }

    public override bool HasPositionTable => true;

    /// <summary>The version number that fairseq's checkpoints carry.</summary>
    protected internal override IReadOnlyList<string> IgnoredSuffixes => ["encoder.version", "decoder.version"];

    /// <param name="inputIds">[batch, encoderSeq]</param>
    /// <param name="attentionMask">[batch, encoderSeq]</param>
    /// <param name="decoderInputIds">[batch, seq]</param>
    /// <param name="decoderAttentionMask">[batch, kvSeq]</param>
    /// <param name="encoderOutput">[batch, encoderSeq, hidden]</param>
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

    /// <param name="inputIds">[batch, encoderSeq]</param>
    /// <param name="attentionMask">[batch, encoderSeq]</param>
    /// <param name="decoderInputIds">[batch, seq]</param>
    /// <param name="decoderAttentionMask">[batch, kvSeq]</param>
    /// <param name="encoderOutput">[batch, encoderSeq, hidden]</param>
    private ModelOutput Forward(Tensor? inputIds, Tensor attentionMask, Tensor decoderInputIds, Tensor decoderAttentionMask,
        Tensor? encoderOutput, KeyValueCache? cache)
    {
        // [batch, encoderSeq, hidden]
        Tensor encoded = encoderOutput ?? (Tensor)_encoder.Call(inputIds!, attentionMask)["last_hidden_state"]!;
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
        // [batch, seq]
        Tensor positions = positionIds ?? arange(input.size(1), device: input.device).unsqueeze(0).expand(input.size(0), -1);
        return _weight.Value.index(TensorIndex.Tensor(positions + Offset)).MoveToOuterDisposeScope();        // [batch, seq, hidden]
    }
}
