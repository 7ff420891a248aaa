using Ndif.Models.Config;
using Ndif.Models.Layers;

namespace Ndif.Models.Architectures;

/// <summary>XLM-RoBERTa: RoBERTa for a hundred languages.</summary>
/// <remarks>
/// transformers/models/xlm_roberta/modeling_xlm_roberta.py and configuration_xlm_roberta.py; Conneau et al., Unsupervised Cross-lingual
/// Representation Learning at Scale, 2020
/// </remarks>
[Architecture("XLMRobertaModel")]
public sealed class XLMRobertaModel(ConfigReader json) : BertEncoderModel(Describe(json) with { HasPooler = true })
{
    internal static EncoderDescription Describe(ConfigReader json) => RobertaModel.Describe(json, "XLMRoberta", vocabSize: 30522);
}

[Architecture("XLMRobertaForMaskedLM", ModelType = "xlm-roberta")]
public sealed class XLMRobertaForMaskedLM : EncoderForMaskedLM
{
    public XLMRobertaForMaskedLM(ConfigReader json) : this(new BertEncoderModel(XLMRobertaModel.Describe(json))) { }

    private XLMRobertaForMaskedLM(BertEncoderModel model) : this(model, new RobertaLMHead(model)) { }

    private XLMRobertaForMaskedLM(BertEncoderModel model, RobertaLMHead head) : base(model, ("lm_head", head)) => _decoder = head;

    private protected override string LmHeadPath => "lm_head.decoder";
}

[Architecture("XLMRobertaForSequenceClassification")]
public sealed class XLMRobertaForSequenceClassification : EncoderForSequenceClassification
{
    public XLMRobertaForSequenceClassification(ConfigReader json) :
        base(new BertEncoderModel(XLMRobertaModel.Describe(json)), SequencePooling.InHead) =>
        _classifier = Child("classifier", new ClassificationHead(Description, Labels.Count));
}

[Architecture("XLMRobertaForTokenClassification")]
public sealed class XLMRobertaForTokenClassification(ConfigReader json) : EncoderForTokenClassification(XLMRobertaModel.Describe(json));
