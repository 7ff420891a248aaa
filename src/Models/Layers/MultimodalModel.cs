using Ndif.Models.Config;
using Ndif.Models.ForwardSource;
using Ndif.Protocol;
using static TorchSharp.torch;
using Tensor = TorchSharp.torch.Tensor;

namespace Ndif.Models.Layers;

/// <summary>A multimodal model, of which only the language model is there: it embeds the tokens and calls the language model.</summary>
/// <remarks>Gemma3Model in transformers/models/gemma3/modeling_gemma3.py and its relatives</remarks>
[SharedLayer]
public sealed partial class MultimodalModel : BaseModel
{
    private readonly DecoderModel _languageModel;
    private readonly Embedding _embedTokens; // of the language model

    /// <param name="className">The class name in Hugging Face's code of the model: "Gemma3Model".</param>
    internal MultimodalModel(string className, DecoderModel languageModel)
    {
        ClassName = className;
        _languageModel = Child("language_model", languageModel);
        _embedTokens = languageModel.TokenEmbeddings;
    }

    public override string ClassName { get; }

    internal override Parameter Embeddings => _languageModel.Embeddings;

    public override ModelOutput Call(Tensor inputIds, Tensor attentionMask, Tensor positionIds, KeyValueCache? cache) =>
        Hook is { } observer ? CallHooked<ModelOutput>(observer, new Arguments([],
        [
            new("input_ids", inputIds), new("attention_mask", attentionMask), new("position_ids", positionIds),
            new("past_key_values", cache), new("use_cache", cache is not null), new("return_dict", true),
            new("vision_feature_layer", null),
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
        Tensor embeddings = _embedTokens.Call(inputIds);                                         // [batch, seq, hidden]
        ModelOutput output = _languageModel.Call(embeddings, attentionMask, positionIds, cache);
        var hidden = (Tensor)output["last_hidden_state"]!;                                          // [batch, seq, hidden]
        return new ModelOutput(new("last_hidden_state", hidden.MoveToOuterDisposeScope()), new("past_key_values", cache));
    }
}

/// <summary>The language model of a multimodal one with its head. The weights of its other parts are not read.</summary>
/// <remarks>Gemma3ForConditionalGeneration in transformers/models/gemma3/modeling_gemma3.py and its relatives</remarks>
public abstract class MultimodalForConditionalGeneration : DecoderForCausalLM
{
    private const string Prefix = "model.language_model";

    private protected MultimodalForConditionalGeneration(DecoderDescription description, DecoderModel languageModel, string modelClass) :
        this(description, new MultimodalModel(modelClass, languageModel)) { }

    /// <param name="model">The parent of the language model.</param>
    private protected MultimodalForConditionalGeneration(DecoderDescription description, BaseModel model) :
        base(description, CreateNames(description), model) { }

    /// <summary>The parts for images and sound, under the names of checkpoints and of the tree in Hugging Face's code.</summary>
    public override IReadOnlyList<string> IgnoredPrefixes =>
    [
        "vision_tower.", "multi_modal_projector.", "vision_model.", "visual.", "audio_tower.", "embed_vision.", "embed_audio.",
        "model.vision_tower.", "model.multi_modal_projector.", "model.vision_model.", "model.visual.", "model.audio_tower.",
        "model.embed_vision.", "model.embed_audio.", "mtp.",
    ];

    /// <summary>Checkpoints from before transformers 4.52 name the language model with its head first.</summary>
    public override string ToTreeName(string tensorName) =>
        tensorName.StartsWith("language_model.model.", StringComparison.Ordinal)
            ? $"{Prefix}.{tensorName["language_model.model.".Length..]}"
        : tensorName.StartsWith("language_model.lm_head.", StringComparison.Ordinal) ? tensorName["language_model.".Length..]
        : tensorName;

    /// <summary>The section of the language model, with the tie of the whole.</summary>
    /// <param name="isTiedByDefault">Whether the head has the weight of the embedding if neither the file nor the section says.</param>
    internal static ConfigReader TextConfig(ConfigReader json, bool isTiedByDefault = false)
    {
        ConfigReader text = json.Section("text_config")
            ?? throw json.InvalidValue("text_config", "must be there: it describes the language model", "absent");
        return text.With("tie_word_embeddings",
            json.Flag("tie_word_embeddings", text.Flag("tie_word_embeddings", isTiedByDefault)));
    }

    private static StandardNames CreateNames(DecoderDescription description) => new()
    {
        Embed = $"{Prefix}.embed_tokens", Layers = $"{Prefix}.layers", FinalNorm = $"{Prefix}.{description.FinalNormName}",
        LmHead = "lm_head", Attention = "self_attn", Mlp = description.MlpName,
    };
}
