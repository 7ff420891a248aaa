using Ndif.Models.ForwardSource;
using static TorchSharp.torch;

namespace Ndif.Models.Layers;

/// <summary>
/// A multimodal model, of which only the language model is there, that passes it the embeddings of the tokens and the inputs of its
/// layers.
/// </summary>
/// <remarks>Gemma4Model in transformers/models/gemma4/modeling_gemma4.py</remarks>
[SharedLayer]
public sealed partial class PerLayerMultimodalModel : BaseModel
{
    private readonly PerLayerInputModel _languageModel;
    private readonly Embedding _embedTokens; // of the language model
    private readonly bool _hasPerLayerInputs;

    /// <param name="className">The class name in Hugging Face's code of the model: "Gemma4Model".</param>
    internal PerLayerMultimodalModel(string className, PerLayerInputModel languageModel)
    {
        ClassName = className;
        _languageModel = Child("language_model", languageModel);
        (_embedTokens, _hasPerLayerInputs) = (languageModel.TokenEmbeddings, languageModel.HasPerLayerInputs);
    }

    public override string ClassName { get; }

    internal override Parameter Embeddings => _languageModel.Embeddings;

    public override ModelOutput Call(Tensor inputIds, Tensor attentionMask, Tensor positionIds, KeyValueCache? cache) =>
        Hook is { } observer ? CallHooked<ModelOutput>(observer, new Arguments([],
        [
            new("input_ids", inputIds), new("attention_mask", attentionMask), new("position_ids", positionIds),
            new("past_key_values", cache), new("use_cache", cache is not null), new("return_dict", true),
        ]))
        : Forward(inputIds, attentionMask, positionIds, cache);

    public override object? Run(Arguments arguments) => Forward(
        arguments.Tensor(0, "input_ids"),
        arguments.Tensor(1, "attention_mask"),
        arguments.Tensor(2, "position_ids"),
        arguments.Get(3, "past_key_values") as KeyValueCache);

    private ModelOutput Forward(Tensor inputIds, Tensor attentionMask, Tensor positionIds, KeyValueCache? cache)
    {
        using var scope = NewDisposeScope();
        Tensor embeddings = _embedTokens.Call(inputIds);                                        // [batch, seq, hidden]
        Tensor? perLayerInputs = null;
        if (_hasPerLayerInputs) perLayerInputs = _languageModel.GetPerLayerInputs(inputIds);    // [batch, seq, layers, perLayer]
        ModelOutput output = _languageModel.Call(embeddings, perLayerInputs, attentionMask, positionIds, cache);
        var hidden = (Tensor)output["last_hidden_state"]!;                                      // [batch, seq, hidden]
        return new ModelOutput(new("last_hidden_state", hidden.MoveToOuterDisposeScope()), new("past_key_values", cache));
    }
}
