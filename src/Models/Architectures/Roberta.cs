using Ndif.Models.Config;
using Ndif.Models.ForwardSource;
using Ndif.Models.Layers;
using static TorchSharp.torch;
using Tensor = TorchSharp.torch.Tensor;

namespace Ndif.Models.Architectures;

/// <summary>RoBERTa: BERT whose positions begin behind the padding's row of their table, with other heads.</summary>
/// <remarks>
/// transformers/models/roberta/modeling_roberta.py and configuration_roberta.py; Liu et al., RoBERTa: A Robustly Optimized BERT Pretraining
/// Approach, 2019
/// </remarks>
[Architecture("RobertaModel")]
public sealed class RobertaModel(ConfigReader json) : BertEncoderModel(Describe(json) with { HasPooler = true })
{
    /// <param name="family">The prefix of the class names: "XLMRoberta".</param>
    internal static EncoderDescription Describe(ConfigReader json, string family = "Roberta", int vocabSize = 50265)
    {
        EncoderDescription description =
            EncoderDescription.Read(json, family, "roberta", new() { VocabSize = vocabSize, PadTokenId = 1 });
        int paddingRow = description.PadTokenId is { } id and >= 0 ? id
            : throw json.InvalidValue("pad_token_id", "must be a row of the table of positions",
                description.PadTokenId is { } given ? $"{given}" : "null");
        if (paddingRow >= description.MaxPositions - 1)
            throw json.InvalidValue("max_position_embeddings", $"must be more than pad_token_id + 1; pad_token_id is {paddingRow}",
                $"{description.MaxPositions}");
        return description with
        {
            FirstPosition = paddingRow + 1, HasPositionsLast = true, Heads = ["pooler", "lm_head", "classifier", "qa_outputs"],
        };
    }
}

[Architecture("RobertaForMaskedLM", ModelType = "roberta")]
public sealed class RobertaForMaskedLM : EncoderForMaskedLM
{
    public RobertaForMaskedLM(ConfigReader json) : base(new BertEncoderModel(RobertaModel.Describe(json))) =>
        _decoder = Child("lm_head", new RobertaLMHead(_model));

    private protected override string LmHeadPath => "lm_head.decoder";
}

[Architecture("RobertaForSequenceClassification")]
public sealed class RobertaForSequenceClassification : EncoderForSequenceClassification
{
    public RobertaForSequenceClassification(ConfigReader json) :
        base(new BertEncoderModel(RobertaModel.Describe(json)), SequencePooling.InHead) =>
        _classifier = Child("classifier", new ClassificationHead(Description, Labels.Count));
}

[Architecture("RobertaForTokenClassification")]
public sealed class RobertaForTokenClassification(ConfigReader json) : EncoderForTokenClassification(RobertaModel.Describe(json));

/// <summary>The head of RoBERTa's masked language model.</summary>
[SharedLayer]
public sealed partial class RobertaLMHead : TensorModule
{
    private readonly Linear _dense, _decoder;
    private readonly LayerNorm _layerNorm;

    internal RobertaLMHead(EncoderModel model)
    {
        EncoderDescription description = model.Description;
        ClassName = $"{description.Family}LMHead";
        _dense = Child("dense", new Linear(description.HiddenSize, description.HiddenSize));
        _layerNorm = Child("layer_norm", new LayerNorm(description.HiddenSize, description.NormEps));
        _decoder = Child("decoder", new Linear(description.HiddenSize, description.VocabSize,
            tiedWeight: description.IsTied ? model.Embeddings : null, tiedBias: Weight("bias", description.VocabSize)));
    }

    public override string ClassName { get; }

    /// <param name="input">[batch, seq, hidden]</param>
    /// <returns>[batch, seq, vocab]</returns>
    protected override Tensor Forward(Tensor input)
    {
        using var scope = NewDisposeScope();
        Tensor activated = nn.functional.gelu(_dense.Call(input));                                  // [batch, seq, hidden]
        return _decoder.Call(_layerNorm.Call(activated)).MoveToOuterDisposeScope();                 // [batch, seq, vocab]
    }
}
