using Ndif.Models.Config;
using Ndif.Models.ForwardSource;
using Ndif.Protocol;
using static TorchSharp.torch;
using Tensor = TorchSharp.torch.Tensor;

namespace Ndif.Models.Layers;

/// <summary>The base model of a causal language model with a head that classifies.</summary>
[SharedLayer]
public abstract class DecoderForClassification : PreTrainedModel
{
    private readonly DecoderForCausalLM _origin;
    private protected readonly BaseModel _model;

    private protected DecoderForClassification(string className, DecoderForCausalLM origin, ConfigReader json)
    {
        (ClassName, _origin, Labels) = (className, origin, ClassLabels.Read(json));
        _model = Child(origin.BaseModelPrefix, origin.BaseModel);
    }

    public override string ClassName { get; }

    private protected override PreTrainedModel Origin => _origin;

    public override StandardNames Names
    {
        get
        {
            StandardNames names = _origin.Names;
            names.LmHead = "";
            return names;
        }
    }

    public override PreTrainedConfig Config => _origin.Config;

    public override string BaseModelPrefix => _origin.BaseModelPrefix;

    public override IReadOnlyList<string> Labels { get; }

    public sealed override ModelOutput Call(ModelInputs inputs) => Hook is { } observer
        ? CallHooked<ModelOutput>(observer, new Arguments([],
        [
            new("input_ids", inputs.InputIds), new("attention_mask", inputs.AttentionMask), new("position_ids", inputs.PositionIds),
            new("past_key_values", inputs.Cache), new("use_cache", inputs.Cache is not null),
        ]))
        : Forward(inputs.InputIds, inputs.AttentionMask, inputs.PositionIds, inputs.Cache);

    public sealed override object? Run(Arguments arguments) => Forward(
        arguments.Tensor(0, "input_ids"),
        arguments.Tensor(1, "attention_mask"),
        arguments.Tensor(2, "position_ids"),
        arguments.Get(3, "past_key_values") as KeyValueCache);

    protected abstract ModelOutput Forward(Tensor inputIds, Tensor attentionMask, Tensor positionIds, KeyValueCache? cache);
}

/// <summary>A score for each label from the last token of a row: a classifier of texts, or a reward model.</summary>
/// <remarks>GenericForSequenceClassification in transformers/modeling_layers.py</remarks>
[SharedLayer]
public sealed partial class DecoderForSequenceClassification : DecoderForClassification
{
    private readonly Linear _score;
    private readonly long? _padTokenId;

    internal DecoderForSequenceClassification(string className, DecoderForCausalLM origin, ConfigReader json) :
        base(className, origin, json)
    {
        _score = Child("score", new Linear(origin.HeadInFeatures, Labels.Count, bias: false));
        _padTokenId = json.Has("pad_token_id") ? json.Integer("pad_token_id") : null;
    }

    public override ModelTask Task => ModelTask.SequenceClassification;

    public override Axes OutputAxes(int element) => Axes.BatchOnly;

    protected override ModelOutput Forward(Tensor inputIds, Tensor attentionMask, Tensor positionIds, KeyValueCache? cache)
    {
        using var scope = NewDisposeScope();
        ModelOutput output = _model.Call(inputIds, attentionMask, positionIds, cache);
        var hidden = (Tensor)output["last_hidden_state"]!;                                              // [batch, seq, hidden]
        Tensor logits = _score.Call(hidden);                                                            // [batch, seq, labels]
        Tensor last = LastTokens(inputIds, attentionMask);                                              // [batch]
        Tensor index = last.view(-1, 1, 1).expand(-1, 1, logits.size(2));                               // [batch, 1, labels]
        Tensor pooled = logits.gather(1, index).squeeze(1);                                             // [batch, labels]
        return new ModelOutput(new("logits", pooled.MoveToOuterDisposeScope()), new("past_key_values", cache));
    }

    /// <summary>The last token of each row that is neither padding nor the pad token; the first of a row of pad tokens.</summary>
    /// <returns>[batch]</returns>
    private Tensor LastTokens(Tensor inputIds, Tensor attentionMask)
    {
        long seqLen = inputIds.size(1);
        Tensor isOwn = attentionMask.narrow(1, attentionMask.size(1) - seqLen, seqLen);                 // [batch, seq]
        Tensor isToken = isOwn;                                                                         // [batch, seq]
        if (_padTokenId is { } padTokenId) isToken = isOwn * (inputIds != padTokenId).to(ScalarType.Int64);
        Tensor indices = arange(seqLen, device: inputIds.device);                                       // [seq]
        Tensor order = isToken * (indices + seqLen) + isOwn * (seqLen - indices) * (1 - isToken);       // [batch, seq]
        return order.argmax(-1);                                                                        // [batch]
    }
}

/// <summary>A score for each label and token.</summary>
/// <remarks>GenericForTokenClassification in transformers/modeling_layers.py</remarks>
[SharedLayer]
public sealed partial class DecoderForTokenClassification : DecoderForClassification
{
    private readonly Dropout _dropout;
    private readonly Linear _score;

    internal DecoderForTokenClassification(string className, DecoderForCausalLM origin, ConfigReader json) :
        base(className, origin, json)
    {
        _dropout = Child("dropout", new Dropout(json.Real("classifier_dropout", json.Real("hidden_dropout", 0.1))));
        _score = Child(origin.TokenClassifierName, new Linear(origin.HeadInFeatures, Labels.Count, bias: true));
    }

    public override ModelTask Task => ModelTask.TokenClassification;

    protected override ModelOutput Forward(Tensor inputIds, Tensor attentionMask, Tensor positionIds, KeyValueCache? cache)
    {
        using var scope = NewDisposeScope();
        ModelOutput output = _model.Call(inputIds, attentionMask, positionIds, cache);
        var hidden = (Tensor)output["last_hidden_state"]!;                                              // [batch, seq, hidden]
        hidden = _dropout.Call(hidden);                                                                 // [batch, seq, hidden]
        Tensor logits = _score.Call(hidden);                                                            // [batch, seq, labels]
        return new ModelOutput(new("logits", logits.MoveToOuterDisposeScope()), new("past_key_values", cache));
    }
}
