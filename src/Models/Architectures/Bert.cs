using Ndif.Models.Config;
using Ndif.Models.Layers;

namespace Ndif.Models.Architectures;

/// <summary>BERT: learned positions, types of tokens, norms behind attention and mlp.</summary>
/// <remarks>
/// transformers/models/bert/modeling_bert.py and configuration_bert.py; Devlin et al., BERT: Pre-training of Deep Bidirectional
/// Transformers for Language Understanding, 2019
/// </remarks>
[Architecture("BertModel")]
public sealed class BertModel(ConfigReader json) : BertEncoderModel(Describe(json, hasPooler: true))
{
    internal static EncoderDescription Describe(ConfigReader json, bool hasPooler = false) =>
        EncoderDescription.Read(json, "Bert", "bert", new()) with
        {
            HasPooler = hasPooler, Heads = ["pooler", "cls", "classifier", "qa_outputs"],
        };
}

[Architecture("BertForMaskedLM", ModelType = "bert")]
public sealed class BertForMaskedLM : EncoderForMaskedLM
{
    public BertForMaskedLM(ConfigReader json) : base(new BertEncoderModel(BertModel.Describe(json))) =>
        _decoder = Child("cls", new BertOnlyMLMHead(_model, "Bert"));

    private protected override string LmHeadPath => "cls.predictions.decoder";
}

[Architecture("BertForSequenceClassification")]
public sealed class BertForSequenceClassification : EncoderForSequenceClassification
{
    public BertForSequenceClassification(ConfigReader json) :
        base(new BertEncoderModel(BertModel.Describe(json, hasPooler: true)), SequencePooling.Pooler)
    {
        _dropout = OfTexts("dropout", new Dropout(Description.ClassifierDropout));
        _classifier = OfTexts("classifier", new Linear(Description.HiddenSize, Labels.Count));
    }
}

[Architecture("BertForTokenClassification")]
public sealed class BertForTokenClassification(ConfigReader json) : EncoderForTokenClassification(BertModel.Describe(json));
