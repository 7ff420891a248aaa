using Ndif.Models.ForwardSource;
using Ndif.Protocol;
using static TorchSharp.torch;
using Tensor = TorchSharp.torch.Tensor;

namespace Ndif.Models.Layers;

/// <summary>The vector of a text, from those of its tokens.</summary>
internal enum SequencePooling
{
    /// <summary>The output of the encoder's own pooler.</summary>
    Pooler,

    /// <summary>The vector of the first token.</summary>
    FirstToken,

    /// <summary>The mean of all tokens.</summary>
    Mean,

    /// <summary>A pooler that belongs to the head.</summary>
    PoolerOfHead,

    /// <summary>The classifier takes all tokens.</summary>
    InHead,
}

/// <summary>A score of a text for each label. An architecture derives from it.</summary>
/// <remarks>BertForSequenceClassification in transformers/models/bert/modeling_bert.py and its relatives</remarks>
[SharedLayer]
public partial class EncoderForSequenceClassification : EncoderForClassification
{
    private readonly bool _hasPooler, _isOfFirstToken, _isMean, _isInHead;
    private protected TensorModule? _pooler, _head, _dropout, _classifier;
    private protected bool _isRectified;

    private protected EncoderForSequenceClassification(EncoderModel model, SequencePooling pooling) : base(model) =>
        (_hasPooler, _isOfFirstToken, _isMean, _isInHead) = (pooling is SequencePooling.Pooler, pooling is SequencePooling.FirstToken,
            pooling is SequencePooling.Mean, pooling is SequencePooling.InHead);

    public sealed override ModelTask Task => ModelTask.SequenceClassification;

    public sealed override Axes OutputAxes(int element) => Axes.BatchOnly;

    /// <summary>Adds a module whose input has no dimension of tokens.</summary>
    private protected T OfTexts<T>(string name, T module) where T : TensorModule
    {
        module.SetAxes(Axes.BatchOnly);
        return Child(name, module);
    }

    protected sealed override ModelOutput Forward(Tensor inputIds, Tensor attentionMask, Tensor positionIds, Tensor? tokenTypeIds)
    {
        using var scope = NewDisposeScope();
        ModelOutput output = _model.Call(inputIds, attentionMask, positionIds, tokenTypeIds);
        var states = (Tensor)output["last_hidden_state"]!;
        Tensor pooled = states, logits = states;
        if (_hasPooler) pooled = (Tensor)output["pooler_output"]!;                                          // [batch, hidden]
        if (_isOfFirstToken) pooled = states.select(1, 0);                                                  // [batch, hidden]
        if (_isMean) pooled = MeanOfTokens(states, attentionMask);                                          // [batch, hidden]
        if (_pooler is not null) pooled = _pooler.Call(states);                                             // [batch, hidden]
        if (_head is not null) pooled = _head.Call(pooled);                                                 // [batch, hidden]
        if (_isRectified) pooled = Activation.Relu(pooled);                                                 // [batch, hidden]
        if (_dropout is not null) pooled = _dropout.Call(pooled);                                           // [batch, hidden]
        if (_isInHead) logits = _classifier!.Call(states);                                                  // [batch, labels]
        if (!_isInHead) logits = _classifier!.Call(pooled);                                                 // [batch, labels]
        return new ModelOutput(new KeyValuePair<string, object?>("logits", logits.MoveToOuterDisposeScope()));
    }

    /// <param name="states">[batch, seq, hidden]</param>
    /// <param name="tokenMask">[batch, seq]</param>
    /// <returns>[batch, hidden]</returns>
    private static Tensor MeanOfTokens(Tensor states, Tensor tokenMask)
    {
        Tensor weights = tokenMask.unsqueeze(-1).to(states.dtype);                                          // [batch, seq, 1]
        return (states * weights).sum([1L]) / weights.sum([1L]);
    }
}

/// <summary>The classifier of a text that reads the first token.</summary>
/// <remarks>
/// RobertaClassificationHead in transformers/models/roberta/modeling_roberta.py; ElectraClassificationHead, which has an activation
/// </remarks>
[SharedLayer]
public sealed partial class ClassificationHead : TensorModule
{
    private readonly Linear _dense, _outProj;
    private readonly Activation? _activation;
    private readonly Dropout _dropout;

    /// <param name="activation">The activation; null for tanh, which is not a module.</param>
    internal ClassificationHead(EncoderDescription description, int labels, Activation? activation = null)
    {
        ClassName = $"{description.Family}ClassificationHead";
        _dense = Child("dense", new Linear(description.HiddenSize, description.HiddenSize));
        _activation = activation is null ? null : Child("activation", activation);
        _dropout = Child("dropout", new Dropout(description.ClassifierDropout));
        _outProj = Child("out_proj", new Linear(description.HiddenSize, labels));
        SetAxes(Axes.BatchOnly);
    }

    public override string ClassName { get; }

    public override Axes InputAxes(string argument) => Axes.Hidden;

    /// <param name="input">[batch, seq, hidden]</param>
    /// <returns>[batch, labels]</returns>
    protected override Tensor Forward(Tensor input)
    {
        using var scope = NewDisposeScope();
        Tensor pooled = _dropout.Call(input.select(1, 0));                          // [batch, hidden]
        pooled = _dense.Call(pooled);                                               // [batch, hidden]
        if (_activation is not null) pooled = _activation.Call(pooled);             // [batch, hidden]
        if (_activation is null) pooled = pooled.tanh();                            // [batch, hidden]
        pooled = _dropout.Call(pooled);                                             // [batch, hidden]
        return _outProj.Call(pooled).MoveToOuterDisposeScope();                     // [batch, labels]
    }
}
