using Ndif.Models.ForwardSource;
using static TorchSharp.torch;
using Tensor = TorchSharp.torch.Tensor;

namespace Ndif.Models.Layers;

/// <summary>Embeddings, layers with norms behind attention and mlp, and in some models a pooler: BERT, RoBERTa, ELECTRA.</summary>
/// <remarks>BertModel in transformers/models/bert/modeling_bert.py; Hugging Face has one copy per model.</remarks>
[SharedLayer]
public partial class BertEncoderModel : EncoderModel
{
    private readonly int _firstPosition;
    private readonly bool _hasOffset;
    private readonly BertEmbeddings _embeddings;
    private readonly Linear? _embeddingsProject;
    private readonly BertEncoder _encoder;
    private readonly BertPooler? _pooler;

    internal BertEncoderModel(EncoderDescription description) : base(description)
    {
        (_firstPosition, _hasOffset) = (description.FirstPosition, description.FirstPosition > 0);
        _embeddings = Child("embeddings", new BertEmbeddings(description));
        if (description.EmbeddingSize != description.HiddenSize)
            _embeddingsProject = Child("embeddings_project", new Linear(description.EmbeddingSize, description.HiddenSize));
        _encoder = Child("encoder", new BertEncoder(description));
        if (description.HasPooler) _pooler = Child("pooler", new BertPooler(description));
    }

    internal override Parameter Embeddings => _embeddings.WordEmbeddings;

    private protected override bool PassesIdsByPosition => Parent is not null;

    public override Axes OutputAxes(int element) => element == 1 ? Axes.BatchOnly : Axes.Hidden;

    /// <returns><c>last_hidden_state</c> [batch, seq, hidden] and, if there is a pooler, <c>pooler_output</c> [batch, hidden].</returns>
    protected override ModelOutput Forward(Tensor inputIds, Tensor attentionMask, Tensor positionIds, Tensor? tokenTypeIds)
    {
        using var scope = NewDisposeScope();
        Tensor rows = positionIds;                                                                      // [batch, seq]
        if (_hasOffset) rows = rows + _firstPosition;                                                   // [batch, seq]
        Tensor hidden = _embeddings.Call(inputIds, rows, tokenTypeIds);
        if (_embeddingsProject is not null) hidden = _embeddingsProject.Call(hidden);                   // [batch, seq, hidden]
        Tensor mask = AttentionMask.Bidirectional(attentionMask, hidden.dtype);                        // [batch, 1, seq, kvSeq]
        var states = (Tensor)_encoder.Call(hidden, mask)["last_hidden_state"]!;
        Tensor? pooled = null;
        if (_pooler is not null) pooled = _pooler.Call(states);                                         // [batch, hidden]
        return Output(states.MoveToOuterDisposeScope(), pooled?.MoveToOuterDisposeScope());
    }

    private static ModelOutput Output(Tensor hidden, Tensor? pooled) => pooled is null
        ? new ModelOutput(new KeyValuePair<string, object?>("last_hidden_state", hidden))
        : new ModelOutput(new("last_hidden_state", hidden), new("pooler_output", pooled));
}

/// <summary>The sum of the embeddings of words, types and positions, normalized.</summary>
[SharedLayer]
public sealed partial class BertEmbeddings : SiteModule
{
    private readonly Embedding _wordEmbeddings, _positionEmbeddings, _tokenTypeEmbeddings;
    private readonly LayerNorm _layerNorm;
    private readonly Dropout _dropout;

    internal BertEmbeddings(EncoderDescription description)
    {
        int size = description.EmbeddingSize;
        ClassName = $"{description.Family}Embeddings";
        Embedding positions = new(description.MaxPositions, size, description.HasPositionsLast ? description.PadTokenId : null);
        _wordEmbeddings = Child("word_embeddings", new Embedding(description.VocabSize, size, description.PadTokenId));
        if (!description.HasPositionsLast) Child("position_embeddings", positions);
        _tokenTypeEmbeddings = Child("token_type_embeddings", new Embedding(description.TypeVocabSize, size));
        _layerNorm = Child("LayerNorm", new LayerNorm(size, description.NormEps));
        _dropout = Child("dropout", new Dropout(description.HiddenDropout));
        if (description.HasPositionsLast) Child("position_embeddings", positions);
        _positionEmbeddings = positions;
    }

    public override string ClassName { get; }

    public override bool ReturnsTensor => true;

    internal Parameter WordEmbeddings => _wordEmbeddings.Table;

    /// <param name="inputIds">[batch, seq] int64</param>
    /// <param name="positionIds">[batch, seq] int64: rows of the table of positions</param>
    /// <param name="tokenTypeIds">[batch, seq] int64; null for 0 everywhere</param>
    /// <returns>[batch, seq, hidden]</returns>
    public Tensor Call(Tensor inputIds, Tensor positionIds, Tensor? tokenTypeIds) => Hook is { } observer
        ? CallHooked<Tensor>(observer, new Arguments([],
        [
            new("input_ids", inputIds), new("position_ids", positionIds),
            .. tokenTypeIds is null ? [] : (KeyValuePair<string, object?>[])[new("token_type_ids", tokenTypeIds)],
            new("past_key_values_length", 0L),
        ]))
        : Forward(inputIds, positionIds, tokenTypeIds);

    public override object? Run(Arguments arguments) => Forward(
        arguments.Tensor(0, "input_ids"), arguments.Tensor(2, "position_ids"), arguments.Get(1, "token_type_ids") as Tensor);

    private Tensor Forward(Tensor inputIds, Tensor positionIds, Tensor? tokenTypeIds)
    {
        using var scope = NewDisposeScope();
        Tensor types = tokenTypeIds ?? zeros_like(inputIds);                                        // [batch, seq]
        Tensor words = _wordEmbeddings.Call(inputIds);                                              // [batch, seq, hidden]
        Tensor wordsAndTypes = words + _tokenTypeEmbeddings.Call(types);                            // [batch, seq, hidden]
        Tensor sum = wordsAndTypes + _positionEmbeddings.Call(positionIds);                         // [batch, seq, hidden]
        return _dropout.Call(_layerNorm.Call(sum)).MoveToOuterDisposeScope();                       // [batch, seq, hidden]
    }
}

/// <summary>The vector of a text from that of its first token.</summary>
[SharedLayer]
public sealed partial class BertPooler : TensorModule
{
    private readonly Linear _dense;
    private readonly Activation _activation;

    internal BertPooler(EncoderDescription description)
    {
        ClassName = $"{description.Family}Pooler";
        _dense = Child("dense", new Linear(description.HiddenSize, description.HiddenSize));
        _activation = Child("activation", Activation.Tanh());
        SetAxes(Axes.BatchOnly);
    }

    public override string ClassName { get; }

    public override Axes InputAxes(string argument) => Axes.Hidden;

    /// <param name="input">[batch, seq, hidden]</param>
    /// <returns>[batch, hidden]</returns>
    protected override Tensor Forward(Tensor input)
    {
        using var scope = NewDisposeScope();
        Tensor first = input.select(1, 0);                                              // [batch, hidden]
        return _activation.Call(_dense.Call(first)).MoveToOuterDisposeScope();          // [batch, hidden]
    }
}
