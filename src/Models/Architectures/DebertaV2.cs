using Ndif.Models.Config;
using Ndif.Models.ForwardSource;
using Ndif.Models.Layers;
using static TorchSharp.torch;
using Tensor = TorchSharp.torch.Tensor;

namespace Ndif.Models.Architectures;

/// <summary>DeBERTa 2 and 3: scores of content to position and of position to content, by buckets of distances.</summary>
/// <remarks>
/// transformers/models/deberta_v2/modeling_deberta_v2.py and configuration_deberta_v2.py; He et al., DeBERTa: Decoding-enhanced BERT with
/// Disentangled Attention, 2021. The checkpoints of the pretraining name no class in their config and have heads of their own.
/// </remarks>
[Architecture("DebertaV2Model", ModelType = "deberta-v2")]
[SharedLayer]
public sealed partial class DebertaV2Model : EncoderModel
{
    private readonly DebertaV2Embeddings _embeddings;
    private readonly DebertaV2Encoder _encoder;

    public DebertaV2Model(ConfigReader json) : base(Describe(json))
    {
        DisentangledPositions positions = DisentangledPositions.Read(json);
        _embeddings = Child("embeddings", new DebertaV2Embeddings(Description));
        _encoder = Child("encoder", new DebertaV2Encoder(Description, positions));
    }

    internal override Parameter Embeddings => _embeddings.WordEmbeddings;

    private protected override bool PassesIdsByPosition => Parent is not null;

    protected override ModelOutput Forward(Tensor inputIds, Tensor attentionMask, Tensor positionIds, Tensor? tokenTypeIds)
    {
        using var scope = NewDisposeScope();
        Tensor types = tokenTypeIds ?? zeros_like(inputIds);                                            // [batch, seq]
        Tensor hidden = _embeddings.Call(inputIds, types, positionIds, attentionMask);
        hidden = (Tensor)_encoder.Call(hidden, attentionMask)["last_hidden_state"]!;                    // [batch, seq, hidden]
        return new ModelOutput(new KeyValuePair<string, object?>("last_hidden_state", hidden.MoveToOuterDisposeScope()));
    }

    private static EncoderDescription Describe(ConfigReader json)
    {
        EncoderDescription description = EncoderDescription.Read(json, "DebertaV2", "deberta", new()
        {
            VocabSize = 128100, HiddenSize = 1536, NumLayers = 24, NumHeads = 24, IntermediateSize = 6144, TypeVocabSize = 0,
            NormEps = 1e-7,
        });
        if (json.Has("embedding_size") && json.Size("embedding_size") != description.HiddenSize)
            throw json.InvalidValue("embedding_size", "must be that of the hidden states: embeddings are not projected",
                $"{json.Size("embedding_size")}");
        if (json.Has("attention_head_size") && json.Size("attention_head_size") != description.HeadDim)
            throw json.InvalidValue("attention_head_size", $"must be hidden_size / num_attention_heads, {description.HeadDim}",
                $"{json.Size("attention_head_size")}");
        if (json.Count("conv_kernel_size", 0) > 0)
            throw json.InvalidValue("conv_kernel_size", "must be 0: layers have no convolution", $"{json.Count("conv_kernel_size")}");
        return description with
        {
            HasPositionTable = json.Flag("position_biased_input", true),
            Heads = ["pooler", "cls", "classifier", "lm_predictions", "mask_predictions", "qa_outputs"],
        };
    }
}

[Architecture("DebertaV2ForMaskedLM")]
public sealed class DebertaV2ForMaskedLM : EncoderForMaskedLM
{
    public DebertaV2ForMaskedLM(ConfigReader json) : base(new DebertaV2Model(json))
    {
        if (!json.Flag("legacy", true))
            throw json.InvalidValue("legacy", "must be true: the head is that of transformers before 4.48", "false");
        _decoder = Child("cls", new BertOnlyMLMHead(_model, "LegacyDebertaV2"));
    }

    private protected override string LmHeadPath => "cls.predictions.decoder";
}

[Architecture("DebertaV2ForSequenceClassification")]
public sealed class DebertaV2ForSequenceClassification : EncoderForSequenceClassification
{
    public DebertaV2ForSequenceClassification(ConfigReader json) : base(new DebertaV2Model(json), SequencePooling.PoolerOfHead)
    {
        _pooler = Child("pooler", new ContextPooler(Description));
        _classifier = OfTexts("classifier", new Linear(Description.HiddenSize, Labels.Count));
        _dropout = OfTexts("dropout", new Dropout(json.Real("cls_dropout", Description.HiddenDropout)));
    }
}

[Architecture("DebertaV2ForTokenClassification")]
public sealed class DebertaV2ForTokenClassification : EncoderForTokenClassification
{
    public DebertaV2ForTokenClassification(ConfigReader json) : this(new DebertaV2Model(json)) { }

    private DebertaV2ForTokenClassification(DebertaV2Model model) : base(model, model.Description.HiddenDropout) { }
}

/// <summary>The sum of the embeddings, normalized; padding is zero.</summary>
[SharedLayer]
public sealed partial class DebertaV2Embeddings : SiteModule
{
    private readonly Embedding _wordEmbeddings;
    private readonly Embedding? _positionEmbeddings, _tokenTypeEmbeddings;
    private readonly LayerNorm _layerNorm;
    private readonly Dropout _dropout;

    internal DebertaV2Embeddings(EncoderDescription description)
    {
        int size = description.HiddenSize;
        _wordEmbeddings = Child("word_embeddings", new Embedding(description.VocabSize, size, description.PadTokenId));
        if (description.HasPositionTable) _positionEmbeddings = Child("position_embeddings", new Embedding(description.MaxPositions, size));
        if (description.TypeVocabSize > 0)
            _tokenTypeEmbeddings = Child("token_type_embeddings", new Embedding(description.TypeVocabSize, size));
        _layerNorm = Child("LayerNorm", new LayerNorm(size, description.NormEps));
        _dropout = Child("dropout", new Dropout(description.HiddenDropout));
    }

    public override bool ReturnsTensor => true;

    internal Parameter WordEmbeddings => _wordEmbeddings.Table;

    public override Axes InputAxes(string argument) => Axes.Hidden;

    /// <param name="inputIds">[batch, seq] int64</param>
    /// <param name="tokenTypeIds">[batch, seq] int64</param>
    /// <param name="positionIds">[batch, seq] int64</param>
    /// <param name="tokenMask">[batch, seq] int64: 0 for padding</param>
    /// <returns>[batch, seq, hidden]</returns>
    public Tensor Call(Tensor inputIds, Tensor tokenTypeIds, Tensor positionIds, Tensor tokenMask) => Hook is { } observer
        ? CallHooked<Tensor>(observer, new Arguments([],
        [
            new("input_ids", inputIds), new("token_type_ids", tokenTypeIds), new("position_ids", positionIds), new("mask", tokenMask),
        ]))
        : Forward(inputIds, tokenTypeIds, positionIds, tokenMask);

    public override object? Run(Arguments arguments) => Forward(arguments.Tensor(0, "input_ids"), arguments.Tensor(1, "token_type_ids"),
        arguments.Tensor(2, "position_ids"), arguments.Tensor(3, "mask"));

    private Tensor Forward(Tensor inputIds, Tensor tokenTypeIds, Tensor positionIds, Tensor tokenMask)
    {
        using var scope = NewDisposeScope();
        Tensor sum = _wordEmbeddings.Call(inputIds);                                                    // [batch, seq, hidden]
        if (_positionEmbeddings is not null) sum = sum + _positionEmbeddings.Call(positionIds);         // [batch, seq, hidden]
        if (_tokenTypeEmbeddings is not null) sum = sum + _tokenTypeEmbeddings.Call(tokenTypeIds);      // [batch, seq, hidden]
        Tensor normalized = _layerNorm.Call(sum);                                                       // [batch, seq, hidden]
        Tensor tokens = normalized * tokenMask.unsqueeze(-1).to(normalized.dtype);                      // [batch, seq, hidden]
        return _dropout.Call(tokens).MoveToOuterDisposeScope();                                         // [batch, seq, hidden]
    }
}

/// <summary>The layers, and the embeddings of distances that all of them read.</summary>
[SharedLayer]
public sealed partial class DebertaV2Encoder : SiteModule
{
    private readonly DisentangledPositions _positions;
    private readonly ModuleList<DebertaV2Layer> _layer;
    private readonly Embedding _relEmbeddings;
    private readonly LayerNorm? _layerNorm;

    internal DebertaV2Encoder(EncoderDescription description, DisentangledPositions positions)
    {
        _positions = positions;
        _layer = Child("layer", new ModuleList<DebertaV2Layer>(description.NumLayers, _ => new DebertaV2Layer(description, positions)));
        _relEmbeddings = Child("rel_embeddings", new Embedding(2 * positions.Span, description.HiddenSize));
        _relEmbeddings.SetAxes(Axes.Shared); // its table is read without a call
        if (positions.HasNorm)
            _layerNorm = Child("LayerNorm", new LayerNorm(description.HiddenSize, description.NormEps, axes: Axes.Shared));
    }

    public override Axes InputAxes(string argument) => Axes.Hidden;

    /// <param name="tokenMask">[batch, seq] int64: 0 for padding</param>
    /// <returns><c>last_hidden_state</c> [batch, seq, hidden]</returns>
    public ModelOutput Call(Tensor hidden, Tensor tokenMask) => Hook is { } observer
        ? CallHooked<ModelOutput>(observer, new Arguments(hidden, tokenMask)) : Forward(hidden, tokenMask);

    public override object? Run(Arguments arguments) =>
        Forward(arguments.Tensor(0, "hidden_states"), arguments.Tensor(1, "attention_mask"));

    private ModelOutput Forward(Tensor hidden, Tensor tokenMask)
    {
        using var scope = NewDisposeScope();
        (long batch, long seqLen) = (hidden.size(0), hidden.size(1));
        Tensor mask = tokenMask.view(batch, 1, seqLen, 1) * tokenMask.view(batch, 1, 1, seqLen);        // [batch, 1, seq, kvSeq]
        Tensor relativePositions = _positions.Distances(seqLen, hidden.device);
        Tensor relativeEmbeddings = _relEmbeddings.Table.Value.alias(); // of a pass; the table lives on
        if (_layerNorm is not null) relativeEmbeddings = _layerNorm.Call(relativeEmbeddings);
        for (int layer = 0; layer < _layer.Count; layer++)
            hidden = (Tensor)_layer[layer].Call(hidden, mask, relativePositions, relativeEmbeddings)[0]!; // [batch, seq, hidden]
        return new ModelOutput(new KeyValuePair<string, object?>("last_hidden_state", hidden.MoveToOuterDisposeScope()));
    }
}

/// <summary>The vector of a text from that of its first token.</summary>
[SharedLayer]
public sealed partial class ContextPooler : TensorModule
{
    private readonly Linear _dense;
    private readonly Dropout _dropout;
    private readonly Activation _activation; // not a child

    internal ContextPooler(EncoderDescription description)
    {
        int size = description.HiddenSize;
        if (description.Json.Size("pooler_hidden_size", size) != size)
            throw description.Json.InvalidValue("pooler_hidden_size", $"must be hidden_size, {size}",
                $"{description.Json.Size("pooler_hidden_size")}");
        _activation = Activation.Read(description.Json, "pooler_hidden_act", "gelu");
        _dense = Child("dense", new Linear(size, size));
        _dropout = Child("dropout", new Dropout(description.Json.Real("pooler_dropout", 0)));
        SetAxes(Axes.BatchOnly);
    }

    public override Axes InputAxes(string argument) => Axes.Hidden;

    /// <param name="input">[batch, seq, hidden]</param>
    /// <returns>[batch, hidden]</returns>
    protected override Tensor Forward(Tensor input)
    {
        using var scope = NewDisposeScope();
        Tensor first = _dropout.Call(input.select(1, 0));                                               // [batch, hidden]
        return _activation.Apply(_dense.Call(first)).MoveToOuterDisposeScope();                         // [batch, hidden]
    }
}
