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
            throw json.InvalidValue("relative_attention_max_distance", $"must be larger than {numBuckets / 2}", $"{maxDistance}");
        int headDim = json.Size("d_kv", 64), numHeads = json.Size("num_heads", isMultilingual ? 6 : 8);
        if ((long)headDim * numHeads > int.MaxValue) throw json.InvalidValue("d_kv", $"is too large for {numHeads} heads", $"{headDim}");
        return new T5Config(
            isMultilingual ? "MT5" : "T5", json, json.Size("vocab_size", isMultilingual ? 250112 : 32128), json.Size("d_model", 512),
            headDim, json.Size("d_ff", isMultilingual ? 1024 : 2048), numLayers, json.Size("num_decoder_layers", numLayers),
            numHeads, numBuckets, maxDistance, json.Real("layer_norm_epsilon", 1e-6),
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
        DecoderStartTokenId = ReadStartToken(config.Json, config.Json.Count("pad_token_id", 0), config.VocabSize);
        Embedding shared = Child("shared", new Embedding(config.VocabSize, config.HiddenSize));
        _encoder = Child("encoder", new T5Stack(config, shared, isDecoder: false));
        _decoder = Child("decoder", new T5Stack(config, shared, isDecoder: true));
        _lmHead = Child("lm_head",
            new Linear(config.HiddenSize, config.VocabSize, bias: false, config.TieWordEmbeddings ? shared.Table : null));
    }

    public override StandardNames Names => new()
    {
        Embed = "decoder.embed_tokens", Layers = "decoder.block", FinalNorm = "decoder.final_layer_norm", LmHead = "lm_head",
        Attention = "layer.0.SelfAttention", Mlp = "layer.2.DenseReluDense", Encoder = "encoder", Decoder = "decoder",
        EncoderLayers = "encoder.block", CrossAttention = "layer.1.EncDecAttention",
        EncoderMlp = "layer.1.DenseReluDense",
    };

    public override PreTrainedConfig Config { get; }

    public override string BaseModelPrefix => "";

    public override int DecoderStartTokenId { get; }

    /// <summary>The bias of cross attention, which the first checkpoints have and no version uses.</summary>
    protected internal override IReadOnlyList<string> IgnoredSuffixes => [".EncDecAttention.relative_attention_bias.weight"];

    /// <summary>The first layer of a stack computes the bias by distance for all of them.</summary>
    public override bool SharesKeysOfLayers => true;

    internal override bool TiesMissingHead => true;

    internal override ConfigReader WithTies(ConfigReader json, bool tied) =>
        base.WithTies(json, tied).With("scale_decoder_outputs", _config.ScalesOutput);

    /// <param name="inputIds">[batch, encoderSeq]</param>
    /// <param name="attentionMask">[batch, encoderSeq]</param>
    /// <param name="decoderInputIds">[batch, seq]</param>
    /// <param name="decoderAttentionMask">[batch, kvSeq]</param>
    /// <param name="encoderOutput">[batch, encoderSeq, hidden]</param>
    private protected override ModelOutput Forward(Tensor? inputIds, Tensor attentionMask, Tensor decoderInputIds,
        Tensor decoderAttentionMask, Tensor? encoderOutput, KeyValueCache? cache, int logitsToKeep)
    {
        using var scope = NewDisposeScope();
        // [batch, encoderSeq, hidden]
        Tensor encoded = encoderOutput ?? (Tensor)_encoder.Call(inputIds!, attentionMask)["last_hidden_state"]!;
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
