using Ndif.Models.Config;
using Ndif.Models.ForwardSource;
using static TorchSharp.torch;

namespace Ndif.Models.Layers;

/// <summary>
/// A decoder whose layers each receive, beside the residual stream, an embedding of the token and a projection of its embedding that
/// belong to the layer. A derived class has the forward.
/// </summary>
/// <remarks>
/// Gemma3nTextModel in transformers/models/gemma3n/modeling_gemma3n.py, Gemma4TextModel in transformers/models/gemma4/modeling_gemma4.py
/// </remarks>
[SharedLayer]
public abstract class PerLayerInputModel : BaseModel
{
    private protected readonly Embedding _embedTokens;
    private protected readonly bool _takesEmbeddings;
    private protected Embedding? _embedTokensPerLayer;
    private protected Linear? _perLayerModelProjection;
    private protected RMSNorm? _perLayerProjectionNorm;
    private readonly DecoderConfig _config;
    private readonly string _embeddingClass;
    private int _perLayerVocab, _perLayerSize;

    private protected PerLayerInputModel(DecoderConfig config, string embeddingClass, bool takesEmbeddings)
    {
        (_config, _embeddingClass, _takesEmbeddings) = (config, embeddingClass, takesEmbeddings);
        _embedTokens = Child("embed_tokens",
            new Embedding(config.VocabSize, config.HiddenSize, config.PadTokenId, embeddingClass, isScaled: true));
    }

    internal override Parameter Embeddings => _embedTokens.Table;

    /// <summary>The embeddings of the tokens, for a parent that computes them.</summary>
    internal Embedding TokenEmbeddings => _embedTokens;

    /// <summary>Whether layers receive inputs of their own.</summary>
    internal bool HasPerLayerInputs => _embedTokensPerLayer is not null;

    public sealed override ModelOutput Call(Tensor inputIds, Tensor attentionMask, Tensor positionIds, KeyValueCache? cache) =>
        Hook is { } observer ? CallHooked<ModelOutput>(observer, new Arguments([],
        [
            new("input_ids", inputIds), new("attention_mask", attentionMask), new("position_ids", positionIds),
            new("past_key_values", cache), new("use_cache", cache is not null),
        ]))
        : Forward(inputIds, attentionMask, positionIds, cache, null);

    /// <summary>The call of a parent that computes the embeddings.</summary>
    /// <param name="embeddings">[batch, seq, hidden]</param>
    /// <param name="perLayerInputs">[batch, seq, layers, perLayer]; null if layers have none.</param>
    internal ModelOutput Call(
        Tensor embeddings, Tensor? perLayerInputs, Tensor attentionMask, Tensor positionIds, KeyValueCache? cache) =>
        Hook is { } observer ? CallHooked<ModelOutput>(observer, new Arguments([],
        [
            new("inputs_embeds", embeddings), new("attention_mask", attentionMask), new("position_ids", positionIds),
            new("past_key_values", cache), new("use_cache", cache is not null), new("return_dict", true),
            new("per_layer_inputs", perLayerInputs),
        ]))
        : Forward(embeddings, attentionMask, positionIds, cache, perLayerInputs);

    public sealed override object? Run(Arguments arguments) => Forward(
        arguments.Tensor(0, _takesEmbeddings ? "inputs_embeds" : "input_ids"),
        arguments.Tensor(1, "attention_mask"),
        arguments.Tensor(2, "position_ids"),
        arguments.Get(3, "past_key_values") as KeyValueCache,
        arguments.Get(6, "per_layer_inputs") as Tensor);

    /// <param name="inputIds">[batch, seq] int64; the embeddings [batch, seq, hidden] if a parent computes them.</param>
    /// <param name="perLayerInputs">[batch, seq, layers, perLayer] from the parent; otherwise null.</param>
    protected abstract ModelOutput Forward(
        Tensor inputIds, Tensor attentionMask, Tensor positionIds, KeyValueCache? cache, Tensor? perLayerInputs);

    /// <summary>The embeddings of the tokens for each layer; tokens of images and sounds, which have none, have those of token 0.</summary>
    /// <remarks>Gemma3nModel.forward in transformers/models/gemma3n/modeling_gemma3n.py</remarks>
    /// <param name="inputIds">[batch, seq] int64</param>
    /// <returns>[batch, seq, layers, perLayer]</returns>
    internal Tensor GetPerLayerInputs(Tensor inputIds)
    {
        if (_perLayerVocab < _config.VocabSize) inputIds = inputIds.masked_fill(inputIds >= _perLayerVocab, 0); // [batch, seq]
        return _embedTokensPerLayer!.Call(inputIds).reshape(inputIds.size(0), inputIds.size(1), _config.NumLayers, _perLayerSize);
    }

    /// <summary>Creates the modules of the inputs of layers, which come after the others.</summary>
    /// <param name="createNorm">From a size.</param>
    private protected void CreatePerLayerInputs(int vocabSize, int perLayerSize, Func<int, RMSNorm> createNorm)
    {
        (_perLayerVocab, _perLayerSize) = (vocabSize, perLayerSize);
        int size = _config.NumLayers * perLayerSize;
        _embedTokensPerLayer = Child("embed_tokens_per_layer",
            new Embedding(vocabSize, size, _config.PadTokenId, _embeddingClass, isScaled: true, scaleSize: perLayerSize));
        _perLayerModelProjection = Child("per_layer_model_projection", new Linear(_config.HiddenSize, size, bias: false));
        _perLayerProjectionNorm = Child("per_layer_projection_norm", createNorm(perLayerSize));
    }

    /// <summary>What each layer receives: the projection of the embedding and the embedding for the layer.</summary>
    /// <param name="embeddings">[batch, seq, hidden]</param>
    /// <param name="perLayerInputs">[batch, seq, layers, perLayer]</param>
    /// <returns>[batch, seq, layers, perLayer]</returns>
    private protected Tensor ProjectPerLayerInputs(Tensor embeddings, Tensor perLayerInputs)
    {
        Tensor projected = _perLayerModelProjection!.Call(embeddings);                          // [batch, seq, layers · perLayer]
        projected = projected * Scale(1 / Math.Sqrt(_config.HiddenSize), projected);            // [batch, seq, layers · perLayer]
        projected = _perLayerProjectionNorm!.Call(projected.reshape(perLayerInputs.shape));     // [batch, seq, layers, perLayer]
        return (projected + perLayerInputs.to(projected.device)) * Scale(1 / Math.Sqrt(2), projected);
    }

    /// <summary>A factor; Gemma 3n rounds it to the type of the model.</summary>
    /// <returns>[]</returns>
    private protected virtual Tensor Scale(double factor, Tensor like) => tensor((float)factor);
}
