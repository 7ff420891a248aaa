using Ndif.Models.ForwardSource;
using static TorchSharp.torch;
using Tensor = TorchSharp.torch.Tensor;

namespace Ndif.Models.Layers;

/// <summary>The head of BERT's masked language model.</summary>
/// <remarks>
/// BertOnlyMLMHead in transformers/models/bert/modeling_bert.py; LegacyDebertaV2OnlyMLMHead in
/// transformers/models/deberta_v2/modeling_deberta_v2.py
/// </remarks>
[SharedLayer]
public sealed partial class BertOnlyMLMHead : TensorModule
{
    private readonly BertLMPredictionHead _predictions;

    /// <param name="family">The prefix of the class names: "Bert".</param>
    internal BertOnlyMLMHead(EncoderModel model, string family)
    {
        ClassName = $"{family}OnlyMLMHead";
        _predictions = Child("predictions", new BertLMPredictionHead(model, family));
    }

    public override string ClassName { get; }

    /// <param name="input">[batch, seq, hidden]</param>
    /// <returns>[batch, seq, vocab]</returns>
    protected override Tensor Forward(Tensor input) => _predictions.Call(input);
}

[SharedLayer]
public sealed partial class BertLMPredictionHead : TensorModule
{
    private readonly BertPredictionHeadTransform _transform;
    private readonly Linear _decoder;

    internal BertLMPredictionHead(EncoderModel model, string family)
    {
        EncoderDescription description = model.Description;
        ClassName = $"{family}LMPredictionHead";
        _transform = Child("transform", new BertPredictionHeadTransform(description, family));
        _decoder = Child("decoder", new Linear(description.HiddenSize, description.VocabSize,
            tiedWeight: description.IsTied ? model.Embeddings : null, tiedBias: Weight("bias", description.VocabSize)));
    }

    public override string ClassName { get; }

    /// <param name="input">[batch, seq, hidden]</param>
    /// <returns>[batch, seq, vocab]</returns>
    protected override Tensor Forward(Tensor input)
    {
        using var scope = NewDisposeScope();
        return _decoder.Call(_transform.Call(input)).MoveToOuterDisposeScope();                     // [batch, seq, vocab]
    }
}

[SharedLayer]
public sealed partial class BertPredictionHeadTransform : TensorModule
{
    private readonly Linear _dense;
    private readonly Activation _transformActFn;
    private readonly LayerNorm _layerNorm;

    internal BertPredictionHeadTransform(EncoderDescription description, string family)
    {
        ClassName = $"{family}PredictionHeadTransform";
        _dense = Child("dense", new Linear(description.HiddenSize, description.HiddenSize));
        _transformActFn = Child("transform_act_fn", Activation.Read(description.Json, "hidden_act", "gelu"));
        _layerNorm = Child("LayerNorm", new LayerNorm(description.HiddenSize, description.NormEps));
    }

    public override string ClassName { get; }

    /// <param name="input">[batch, seq, hidden]</param>
    /// <returns>[batch, seq, hidden]</returns>
    protected override Tensor Forward(Tensor input)
    {
        using var scope = NewDisposeScope();
        Tensor activated = _transformActFn.Call(_dense.Call(input));                                // [batch, seq, hidden]
        return _layerNorm.Call(activated).MoveToOuterDisposeScope();                                // [batch, seq, hidden]
    }
}
