using Ndif.Models.Config;
using Ndif.Models.ForwardSource;
using Ndif.Models.Layers;
using Ndif.Protocol;
using static TorchSharp.torch;
using Tensor = TorchSharp.torch.Tensor;

namespace Ndif.Models.Architectures;

/// <summary>ELECTRA: BERT whose embeddings may be smaller than the hidden states, trained to find replaced tokens.</summary>
/// <remarks>
/// transformers/models/electra/modeling_electra.py and configuration_electra.py; Clark et al., ELECTRA: Pre-training Text Encoders as
/// Discriminators Rather Than Generators, 2020
/// </remarks>
[Architecture("ElectraModel")]
public sealed class ElectraModel(ConfigReader json) : BertEncoderModel(Describe(json))
{
    internal static EncoderDescription Describe(ConfigReader json) => EncoderDescription.Read(json, "Electra", "electra",
        new() { HiddenSize = 256, IntermediateSize = 1024, NumHeads = 4 }) with
    {
        EmbeddingSize = json.Size("embedding_size", 128),
        Heads = ["generator_predictions", "generator_lm_head", "discriminator_predictions", "classifier", "qa_outputs"],
    };
}

[Architecture("ElectraForMaskedLM")]
public sealed class ElectraForMaskedLM : EncoderForMaskedLM
{
    public ElectraForMaskedLM(ConfigReader json) : base(new BertEncoderModel(ElectraModel.Describe(json)))
    {
        _transform = Child("generator_predictions", new ElectraGeneratorPredictions(Description));
        _decoder = Child("generator_lm_head", new Linear(Description.EmbeddingSize, Description.VocabSize,
            tiedWeight: Description.IsTied ? _model.Embeddings : null));
    }

    private protected override string LmHeadPath => "generator_lm_head";
}

[Architecture("ElectraForSequenceClassification")]
public sealed class ElectraForSequenceClassification : EncoderForSequenceClassification
{
    public ElectraForSequenceClassification(ConfigReader json) :
        base(new BertEncoderModel(ElectraModel.Describe(json)), SequencePooling.InHead) =>
        _classifier = Child("classifier", new ClassificationHead(Description, Labels.Count, Activation.Of("gelu")));
}

[Architecture("ElectraForTokenClassification")]
public sealed class ElectraForTokenClassification(ConfigReader json) : EncoderForTokenClassification(ElectraModel.Describe(json));

/// <summary>The discriminator: one logit for each token, positive if the token is not that of the text.</summary>
[Architecture("ElectraForPreTraining", ModelType = "electra")]
[SharedLayer]
public sealed partial class ElectraForPreTraining : EncoderWithHead
{
    private readonly ElectraDiscriminatorPredictions _discriminatorPredictions;

    public ElectraForPreTraining(ConfigReader json) : base(new BertEncoderModel(ElectraModel.Describe(json))) =>
        _discriminatorPredictions = Child("discriminator_predictions", new ElectraDiscriminatorPredictions(Description));

    public override ModelTask Task => ModelTask.TokenClassification;

    protected override ModelOutput Forward(Tensor inputIds, Tensor attentionMask, Tensor positionIds, Tensor? tokenTypeIds)
    {
        using var scope = NewDisposeScope();
        ModelOutput output = _model.Call(inputIds, attentionMask, positionIds, tokenTypeIds);
        var hidden = (Tensor)output["last_hidden_state"]!;                                          // [batch, seq, hidden]
        Tensor logits = _discriminatorPredictions.Call(hidden);                                     // [batch, seq]
        return new ModelOutput(new KeyValuePair<string, object?>("logits", logits.MoveToOuterDisposeScope()));
    }
}

[SharedLayer]
public sealed partial class ElectraDiscriminatorPredictions : TensorModule
{
    private readonly Linear _dense, _densePrediction;
    private readonly Activation _activation;

    internal ElectraDiscriminatorPredictions(EncoderDescription description)
    {
        _dense = Child("dense", new Linear(description.HiddenSize, description.HiddenSize));
        _activation = Child("activation", Activation.Read(description.Json, "hidden_act", "gelu"));
        _densePrediction = Child("dense_prediction", new Linear(description.HiddenSize, 1));
    }

    /// <param name="input">[batch, seq, hidden]</param>
    /// <returns>[batch, seq]</returns>
    protected override Tensor Forward(Tensor input)
    {
        using var scope = NewDisposeScope();
        Tensor activated = _activation.Call(_dense.Call(input));                                    // [batch, seq, hidden]
        Tensor logits = _densePrediction.Call(activated);                                           // [batch, seq, 1]
        return logits.squeeze(-1).MoveToOuterDisposeScope();                                        // [batch, seq]
    }
}

/// <summary>What precedes the generator's logits.</summary>
[SharedLayer]
public sealed partial class ElectraGeneratorPredictions : TensorModule
{
    private readonly Activation _activation;
    private readonly LayerNorm _layerNorm;
    private readonly Linear _dense;

    internal ElectraGeneratorPredictions(EncoderDescription description)
    {
        _activation = Child("activation", Activation.Of("gelu")!);
        _layerNorm = Child("LayerNorm", new LayerNorm(description.EmbeddingSize, description.NormEps));
        _dense = Child("dense", new Linear(description.HiddenSize, description.EmbeddingSize));
    }

    /// <param name="input">[batch, seq, hidden]</param>
    /// <returns>[batch, seq, embeddingSize]</returns>
    protected override Tensor Forward(Tensor input)
    {
        using var scope = NewDisposeScope();
        Tensor activated = _activation.Call(_dense.Call(input));                                    // [batch, seq, embeddingSize]
        return _layerNorm.Call(activated).MoveToOuterDisposeScope();                                // [batch, seq, embeddingSize]
    }
}
