using Ndif.Models.Config;
using Ndif.Models.CpuKernels;
using Ndif.Models.ForwardSource;
using Ndif.Models.Layers;
using static TorchSharp.torch;
using Tensor = TorchSharp.torch.Tensor;

namespace Ndif.Models.Architectures;

/// <summary>DistilBERT: a BERT of half as many layers, without types of tokens.</summary>
/// <remarks>
/// transformers/models/distilbert/modeling_distilbert.py and configuration_distilbert.py; Sanh et al., DistilBERT, a distilled version of
/// BERT, 2019
/// </remarks>
[Architecture("DistilBertModel")]
[SharedLayer]
public sealed partial class DistilBertModel : EncoderModel
{
    private const double NormEps = 1e-12; // not in the config

    private readonly DistilBertEmbeddings _embeddings;
    private readonly DistilBertTransformer _transformer;

    public DistilBertModel(ConfigReader json) : base(Describe(json))
    {
        _embeddings = Child("embeddings", new DistilBertEmbeddings(Description));
        _transformer = Child("transformer", new DistilBertTransformer(Description));
    }

    internal override Parameter Embeddings => _embeddings.WordEmbeddings;

    protected override ModelOutput Forward(Tensor inputIds, Tensor attentionMask, Tensor positionIds, Tensor? tokenTypeIds)
    {
        using var scope = NewDisposeScope();
        Tensor hidden = _embeddings.Call(inputIds, positionIds);
        Tensor mask = AttentionMask.Bidirectional(attentionMask, hidden.dtype);                        // [batch, 1, seq, kvSeq]
        hidden = (Tensor)_transformer.Call(hidden, mask)["last_hidden_state"]!;                         // [batch, seq, hidden]
        return new ModelOutput(new KeyValuePair<string, object?>("last_hidden_state", hidden.MoveToOuterDisposeScope()));
    }

    private static EncoderDescription Describe(ConfigReader json)
    {
        int size = json.Size("dim", 768), heads = json.Size("n_heads", 12);
        EncoderDescription.CheckHeads(json, "dim", size, "n_heads", heads);
        return new EncoderDescription(json, "DistilBert", "distilbert")
        {
            VocabSize = json.Size("vocab_size", 30522), HiddenSize = size, NumHeads = heads,
            IntermediateSize = json.Size("hidden_dim", 3072), NumLayers = json.Size("n_layers", 6),
            MaxPositions = json.Size("max_position_embeddings", 512), NormEps = NormEps,
            PadTokenId = EncoderDescription.PadToken(json, 0),
            Names = new()
            {
                Embed = "embeddings.word_embeddings", Layers = "transformer.layer", FinalNorm = "", LmHead = "", Attention = "attention",
                Mlp = "ffn",
            },
            Heads = ["vocab_transform", "vocab_layer_norm", "vocab_projector", "pre_classifier", "classifier", "qa_outputs"],
        };
    }
}

[Architecture("DistilBertForMaskedLM", ModelType = "distilbert")]
public sealed class DistilBertForMaskedLM : EncoderForMaskedLM
{
    public DistilBertForMaskedLM(ConfigReader json) : this(json, Activation.Read(json, "activation", "gelu")) { }

    private DistilBertForMaskedLM(ConfigReader json, Activation activation) : base(new DistilBertModel(json), ("activation", activation))
    {
        _transform = Child("vocab_transform", new Linear(Description.HiddenSize, Description.HiddenSize));
        _activation = activation;
        _norm = Child("vocab_layer_norm", new LayerNorm(Description.HiddenSize, Description.NormEps));
        _decoder = Child("vocab_projector", new Linear(Description.HiddenSize, Description.VocabSize,
            tiedWeight: Description.IsTied ? _model.Embeddings : null));
        Child("mlm_loss_fct", new CrossEntropyLoss());
    }

    private protected override string LmHeadPath => "vocab_projector";
}

[Architecture("DistilBertForSequenceClassification")]
public sealed class DistilBertForSequenceClassification : EncoderForSequenceClassification
{
    public DistilBertForSequenceClassification(ConfigReader json) : base(new DistilBertModel(json), SequencePooling.FirstToken)
    {
        _isRectified = true;
        _head = OfTexts("pre_classifier", new Linear(Description.HiddenSize, Description.HiddenSize));
        _classifier = OfTexts("classifier", new Linear(Description.HiddenSize, Labels.Count));
        _dropout = OfTexts("dropout", new Dropout(json.Real("seq_classif_dropout", 0.2)));
    }
}

[Architecture("DistilBertForTokenClassification")]
public sealed class DistilBertForTokenClassification(ConfigReader json) :
    EncoderForTokenClassification(new DistilBertModel(json), json.Real("dropout", 0.1));

/// <summary>The sum of the embeddings of words and positions, normalized.</summary>
[SharedLayer]
public sealed partial class DistilBertEmbeddings : SiteModule
{
    private readonly Embedding _wordEmbeddings, _positionEmbeddings;
    private readonly LayerNorm _layerNorm;
    private readonly Dropout _dropout;

    internal DistilBertEmbeddings(EncoderDescription description)
    {
        _wordEmbeddings =
            Child("word_embeddings", new Embedding(description.VocabSize, description.HiddenSize, description.PadTokenId));
        _positionEmbeddings = Child("position_embeddings", new Embedding(description.MaxPositions, description.HiddenSize));
        _layerNorm = Child("LayerNorm", new LayerNorm(description.HiddenSize, description.NormEps));
        _dropout = Child("dropout", new Dropout(description.Json.Real("dropout", 0.1)));
    }

    public override string ClassName => "Embeddings";

    public override bool ReturnsTensor => true;

    internal Parameter WordEmbeddings => _wordEmbeddings.Table;

    /// <param name="inputIds">[batch, seq] int64</param>
    /// <param name="positionIds">[batch, seq] int64</param>
    /// <returns>[batch, seq, hidden]</returns>
    public Tensor Call(Tensor inputIds, Tensor positionIds) => Hook is { } observer
        ? CallHooked<Tensor>(observer, new Arguments(inputIds, null, positionIds)) : Forward(inputIds, positionIds);

    public override object? Run(Arguments arguments) => Forward(arguments.Tensor(0, "input_ids"), arguments.Tensor(2, "position_ids"));

    private Tensor Forward(Tensor inputIds, Tensor positionIds)
    {
        using var scope = NewDisposeScope();
        Tensor words = _wordEmbeddings.Call(inputIds);                                              // [batch, seq, hidden]
        Tensor sum = words + _positionEmbeddings.Call(positionIds);                                 // [batch, seq, hidden]
        return _dropout.Call(_layerNorm.Call(sum)).MoveToOuterDisposeScope();                       // [batch, seq, hidden]
    }
}

/// <summary>The layers.</summary>
[SharedLayer]
public sealed partial class DistilBertTransformer : SiteModule
{
    private readonly ModuleList<DistilBertBlock> _layer;

    internal DistilBertTransformer(EncoderDescription description) =>
        _layer = Child("layer", new ModuleList<DistilBertBlock>(description.NumLayers, _ => new DistilBertBlock(description)));

    public override string ClassName => "Transformer";

    /// <returns><c>last_hidden_state</c> [batch, seq, hidden]</returns>
    public ModelOutput Call(Tensor hidden, Tensor mask) => Hook is { } observer
        ? CallHooked<ModelOutput>(observer, new Arguments([],
        [
            new("hidden_states", hidden), new("attention_mask", mask),
        ]))
        : Forward(hidden, mask);

    public override object? Run(Arguments arguments) =>
        Forward(arguments.Tensor(0, "hidden_states"), arguments.Tensor(1, "attention_mask"));

    private ModelOutput Forward(Tensor hidden, Tensor mask)
    {
        using var scope = NewDisposeScope();
        for (int layer = 0; layer < _layer.Count; layer++)
            hidden = (Tensor)_layer[layer].Call(hidden, mask)[0]!;                                  // [batch, seq, hidden]
        return new ModelOutput(new KeyValuePair<string, object?>("last_hidden_state", hidden.MoveToOuterDisposeScope()));
    }
}

[SharedLayer]
public sealed partial class DistilBertBlock : SiteModule
{
    private readonly DistilBertSelfAttention _attention;
    private readonly LayerNorm _saLayerNorm, _outputLayerNorm;
    private readonly Mlp _ffn;

    internal DistilBertBlock(EncoderDescription description)
    {
        int size = description.HiddenSize;
        _attention = Child("attention", new DistilBertSelfAttention(description));
        _saLayerNorm = Child("sa_layer_norm", new LayerNorm(size, description.NormEps));
        _ffn = Child("ffn", new Mlp("FFN",
            ("dropout", new Dropout(description.Json.Real("dropout", 0.1))),
            ("lin1", new Linear(size, description.IntermediateSize)),
            ("lin2", new Linear(description.IntermediateSize, size)),
            ("activation", Activation.Read(description.Json, "activation", "gelu"))));
        _outputLayerNorm = Child("output_layer_norm", new LayerNorm(size, description.NormEps));
    }

    public override string ClassName => "TransformerBlock";

    public override Axes InputAxes(string argument) => argument is "1" or "attention_mask" ? Axes.Attention : Axes.Hidden;

    protected internal override void DescribeLayout(Protocol.ModuleInfo info) =>
        info.Residual = Layouts.Normalized("sa_layer_norm", "attention", "ffn");

    /// <returns>A tuple: hidden [batch, seq, hidden].</returns>
    public object?[] Call(Tensor hidden, Tensor mask) =>
        Hook is { } observer ? CallHooked<object?[]>(observer, new Arguments(hidden, mask)) : Forward(hidden, mask);

    public override object? Run(Arguments arguments) =>
        Forward(arguments.Tensor(0, "hidden_states"), arguments.Tensor(1, "attention_mask"));

    private object?[] Forward(Tensor hidden, Tensor mask)
    {
        using var scope = NewDisposeScope();
        var attended = (Tensor)_attention.Call(hidden, mask)[0]!;                                   // [batch, seq, hidden]
        Tensor middle = _saLayerNorm.Call(attended + hidden);                                       // [batch, seq, hidden]
        Tensor output = _outputLayerNorm.Call(_ffn.Call(middle) + middle);                          // [batch, seq, hidden]
        return [output.MoveToOuterDisposeScope()];
    }
}

[SharedLayer]
public sealed partial class DistilBertSelfAttention : SiteModule
{
    private readonly int _heads, _headDim;
    private readonly double _scale;
    private readonly Linear _qLin, _kLin, _vLin, _outLin;
    private readonly FusedAttention _fusedAttention;

    internal DistilBertSelfAttention(EncoderDescription description)
    {
        int size = description.HiddenSize;
        (_heads, _headDim) = (description.NumHeads, description.HeadDim);
        _scale = 1 / Math.Sqrt(_headDim);
        _qLin = Child("q_lin", new Linear(size, size));
        _kLin = Child("k_lin", new Linear(size, size));
        _vLin = Child("v_lin", new Linear(size, size));
        _outLin = Child("out_lin", new Linear(size, size));
        Child("dropout", new Dropout(description.Json.Real("attention_dropout", 0.1), Axes.Attention)); // not called
        _fusedAttention = new FusedAttention(this, 0, _heads, _heads, _headDim, _scale)
        {
            Projections = [_qLin, _kLin, _vLin], OutputProjection = _outLin,
        };
    }

    protected internal override void DescribeLayout(Protocol.ModuleInfo info) =>
        info.Attention = Layouts.Separate(
        _heads, _heads, _headDim, "q_lin", "k_lin", "v_lin", "out_lin");

    public override Axes OutputAxes(int element) => element == 1 ? Axes.Attention : Axes.Hidden;

    /// <returns>A tuple: output [batch, seq, hidden], probabilities [batch, heads, seq, kvSeq].</returns>
    public object?[] Call(Tensor hidden, Tensor mask) => Hook is { } observer
        ? CallHooked<object?[]>(observer,
            new Arguments([hidden], [new("attention_mask", mask)]))
        : Forward(hidden, mask);

    public override object? Run(Arguments arguments) =>
        Forward(arguments.Tensor(0, "hidden_states"), arguments.Tensor(1, "attention_mask"));

    private object?[] Forward(Tensor hidden, Tensor mask)
    {
        if (_fusedAttention.TryForward(hidden, null, mask) is { } fused) return fused;
        using var scope = NewDisposeScope();
        Tensor query = EagerAttention.SplitHeads(_qLin.Call(hidden), _heads, _headDim);             // [batch, heads, seq, headDim]
        Tensor key = EagerAttention.SplitHeads(_kLin.Call(hidden), _heads, _headDim);               // [batch, heads, seq, headDim]
        Tensor value = EagerAttention.SplitHeads(_vLin.Call(hidden), _heads, _headDim);             // [batch, heads, seq, headDim]
        var (mixed, probabilities) = EagerAttention.Forward(query, key, value, mask, _scale);
        Tensor output = _outLin.Call(mixed.flatten(2));                                             // [batch, seq, hidden]
        return [output.MoveToOuterDisposeScope(), probabilities.MoveToOuterDisposeScope()];
    }
}
