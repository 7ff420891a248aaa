using Ndif.Models.ForwardSource;
using Ndif.Protocol;
using static TorchSharp.torch;
using Tensor = TorchSharp.torch.Tensor;

namespace Ndif.Models.Layers;

/// <summary>A base model with a head that gives the logits of the next token. An architecture derives from it.</summary>
/// <remarks>LlamaForCausalLM in transformers/models/llama/modeling_llama.py and its relatives</remarks>
[SharedLayer]
public partial class DecoderForCausalLM : CausalLM
{
    private readonly BaseModel _model;
    private readonly Linear _lmHead;
    private readonly double? _softCap, _logitMultiplier, _logitDivisor;
    private readonly StandardNames _names;

    /// <summary>A decoder of the Llama family.</summary>
    private protected DecoderForCausalLM(DecoderDescription description, DecoderModel? model = null) : this(
        description,
        new StandardNames
        {
            Embed = $"model.{description.EmbeddingName}", Layers = "model.layers", FinalNorm = $"model.{description.FinalNormName}",
            LmHead = "lm_head", Attention = "self_attn", Mlp = description.MlpName,
        },
        model ?? new DecoderModel(description)) { }

    /// <summary>A model around a decoder of the Llama family.</summary>
    private protected DecoderForCausalLM(DecoderDescription description, StandardNames names, BaseModel model) : this(
        new PreTrainedConfig(description.Config.VocabSize, description.Config.MaxPositions, description.Config.NumLayers), names, model,
        description.Config.HiddenSize, description.Config.TieWordEmbeddings, description.HeadBias) =>
        (_softCap, _logitMultiplier, _logitDivisor) =
            (description.LogitSoftCap, description.LogitMultiplier, description.LogitDivisor);

    private protected DecoderForCausalLM(
        PreTrainedConfig config, StandardNames names, BaseModel model, int inFeatures, bool isTied, bool bias = false) :
        this(config, names, model, model, inFeatures, isTied, bias) { }

    /// <param name="names">The names of the modules. <see cref="StandardNames.Embed"/> begins with the name of the base model.</param>
    /// <param name="child">The child of that name in the module tree: the model, or a module that contains it.</param>
    /// <param name="inFeatures">The input size of the head.</param>
    /// <param name="isTied">Whether the head shares the weight of the embedding.</param>
    private protected DecoderForCausalLM(
        PreTrainedConfig config, StandardNames names, BaseModel child, BaseModel model, int inFeatures, bool isTied, bool bias = false)
    {
        (Config, _names, _model, BaseModelPrefix, HeadInFeatures) = (config, names, model, names.Embed.Split('.')[0], inFeatures);
        BaseModel = Child(BaseModelPrefix, child);
        _lmHead = Child(names.LmHead, new Linear(inFeatures, config.VocabSize, bias, isTied ? model.Embeddings : null));
    }

    public override StandardNames Names => _names.Clone();

    public override PreTrainedConfig Config { get; }

    public override string BaseModelPrefix { get; }

    /// <summary>The child with everything but the head.</summary>
    internal BaseModel BaseModel { get; }

    /// <summary>The input size of a head.</summary>
    internal int HeadInFeatures { get; }

    /// <summary>The name of the head that classifies tokens, in the family's model for that task.</summary>
    internal virtual string TokenClassifierName => "score";

    /// <summary>The names of the modules in a tree whose root is the base model.</summary>
    internal StandardNames NamesOfBaseModel
    {
        get
        {
            StandardNames names = Names;
            (names.Embed, names.Layers) = (Inside(names.Embed), Inside(names.Layers));
            (names.FinalNorm, names.LmHead) = (Inside(names.FinalNorm), "");
            return names;

            string Inside(string path) => path.Length == 0 ? "" : path[(BaseModelPrefix.Length + 1)..];
        }
    }

    /// <summary>The name of the cache in outputs.</summary>
    private protected virtual string CacheName => "past_key_values";

    protected override ModelOutput Forward(
        Tensor inputIds, Tensor attentionMask, Tensor positionIds, KeyValueCache? cache, int logitsToKeep)
    {
        ModelOutput output = _model.Call(inputIds, attentionMask, positionIds, cache);
        var hidden = (Tensor)output["last_hidden_state"]!;                          // [batch, seq, hidden]
        Tensor logits = _lmHead.Call(Kept(hidden, logitsToKeep));                   // [batch, seq kept, vocab]
        if (_logitMultiplier is not null) logits = logits * _logitMultiplier.Value; // [batch, seq kept, vocab]
        if (_logitDivisor is not null) logits = logits / _logitDivisor.Value;       // [batch, seq kept, vocab]
        if (_softCap is { } cap) logits = (logits / cap).tanh() * cap;              // [batch, seq kept, vocab]
        return new ModelOutput(new("logits", logits), new(CacheName, output[CacheName]));
    }
}
