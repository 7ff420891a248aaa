using Ndif.Models.ForwardSource;
using Ndif.Protocol;
using static TorchSharp.torch;
using Tensor = TorchSharp.torch.Tensor;

namespace Ndif.Models.Layers;

/// <summary>A score of each token for each label. An architecture derives from it.</summary>
/// <remarks>BertForTokenClassification in transformers/models/bert/modeling_bert.py and its relatives</remarks>
[SharedLayer]
public partial class EncoderForTokenClassification : EncoderForClassification
{
    private readonly TensorModule? _head;
    private readonly Dropout _dropout;
    private readonly Linear _classifier;

    /// <summary>A classifier of BERT's kind.</summary>
    private protected EncoderForTokenClassification(EncoderDescription description) :
        this(new BertEncoderModel(description), description.ClassifierDropout) { }

    /// <param name="head">What the tokens pass before the dropout, in some models.</param>
    private protected EncoderForTokenClassification(
        EncoderModel model, double dropout, string dropoutName = "dropout", TensorModule? head = null) : base(model)
    {
        _head = head is null ? null : Child("head", head);
        _dropout = Child(dropoutName, new Dropout(dropout));
        _classifier = Child("classifier", new Linear(Description.HiddenSize, Labels.Count));
    }

    public sealed override ModelTask Task => ModelTask.TokenClassification;

    protected sealed override ModelOutput Forward(Tensor inputIds, Tensor attentionMask, Tensor positionIds, Tensor? tokenTypeIds)
    {
        using var scope = NewDisposeScope();
        ModelOutput output = _model.Call(inputIds, attentionMask, positionIds, tokenTypeIds);
        var hidden = (Tensor)output["last_hidden_state"]!;                          // [batch, seq, hidden]
        if (_head is not null) hidden = _head.Call(hidden);                         // [batch, seq, hidden]
        hidden = _dropout.Call(hidden);                                             // [batch, seq, hidden]
        Tensor logits = _classifier.Call(hidden);                                   // [batch, seq, labels]
        return new ModelOutput(new KeyValuePair<string, object?>("logits", logits.MoveToOuterDisposeScope()));
    }
}
