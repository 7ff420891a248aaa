using Ndif.Models.ForwardSource;
using static TorchSharp.torch;

namespace Ndif.Models.Layers;

/// <summary>Embeddings, decoder layers and the final norm.</summary>
/// <remarks>
/// LlamaModel in transformers/models/llama/modeling_llama.py and its relatives; Hugging Face has one copy per model.
/// </remarks>
[SharedLayer]
public partial class DecoderModel : BaseModel
{
    private protected readonly Embedding _embedTokens;
    private protected readonly Dropout? _embedDropout;
    private protected readonly ModuleList<DecoderBlock> _layers;
    private protected readonly TensorModule _norm;
    private protected readonly RotaryEmbedding? _rotaryEmb;
    private readonly int? _window;
    private protected readonly bool _takesEmbeddings;
    private protected readonly double? _embeddingMultiplier;
    private protected readonly int?[]? _windows;

    /// <param name="hasRotaryEmbedding">False for a derived class that creates its own.</param>
    internal DecoderModel(DecoderDescription description, bool hasRotaryEmbedding = true)
    {
        Description = description;
        (ClassName, _window, _windows) = (description.ModelClass, description.Window, description.Windows);
        (_takesEmbeddings, _embeddingMultiplier) = (description.TakesEmbeddings, description.EmbeddingMultiplier);
        _embedTokens = Child(description.EmbeddingName, new Embedding(description.Config.VocabSize, description.Config.HiddenSize,
            description.Config.PadTokenId, description.EmbeddingClass, description.ScalesEmbeddings));
        _layers = Child("layers",
            new ModuleList<DecoderBlock>(description.Config.NumLayers, layer => description.CreateLayer(description, layer)));
        if (description.EmbeddingDropout is { } p) // Phi, whose constructor has another order
        {
            _rotaryEmb = Child("rotary_emb", description.CreateRotaryEmbedding());
            _embedDropout = Child("embed_dropout", new Dropout(p));
        }
        if (description.IsRotaryBeforeNorm) _rotaryEmb = Child(description.Rotary.Name, description.CreateRotaryEmbedding());
        _norm = Child(description.FinalNormName, description.CreateNorm(description.Config.HiddenSize));
        if (hasRotaryEmbedding) _rotaryEmb ??= Child(description.Rotary.Name, description.CreateRotaryEmbedding());
    }

    public override string ClassName { get; }

    internal DecoderDescription Description { get; }

    /// <summary>The length up to which a row's rotary frequencies are the same; null if they are so at any length.</summary>
    internal long? LengthThreshold => _rotaryEmb?.LengthThreshold;

    internal override Parameter Embeddings => _embedTokens.Table;

    /// <summary>The embeddings of the tokens, for a parent that computes them.</summary>
    internal Embedding TokenEmbeddings => _embedTokens;

    public sealed override ModelOutput Call(Tensor inputIds, Tensor attentionMask, Tensor positionIds, KeyValueCache? cache) =>
        Hook is { } observer ? CallHooked<ModelOutput>(observer, new Arguments([],
        [
            new(_takesEmbeddings ? "inputs_embeds" : "input_ids", inputIds), new("attention_mask", attentionMask),
            new("position_ids", positionIds),
            new("past_key_values", cache), new("use_cache", cache is not null),
            .. Description.PassesRouterLogits ? [new("output_router_logits", false)] : (KeyValuePair<string, object?>[])[],
        ]))
        : Forward(inputIds, attentionMask, positionIds, cache);

    public sealed override object? Run(Arguments arguments) => Forward(
        arguments.Tensor(0, _takesEmbeddings ? "inputs_embeds" : "input_ids"),
        arguments.Tensor(1, "attention_mask"),
        arguments.Tensor(2, "position_ids"),
        arguments.Get(3, "past_key_values") as KeyValueCache);

    /// <param name="inputIds">
    /// [batch, seq] int64; in the language model of a multimodal one the embeddings of the tokens, [batch, seq, hidden]
    /// </param>
    protected virtual ModelOutput Forward(Tensor inputIds, Tensor attentionMask, Tensor positionIds, KeyValueCache? cache)
    {
        using var scope = NewDisposeScope();
        long seqLen = inputIds.size(1);
        Tensor hidden = inputIds;                                                                       // [batch, seq, hidden]
        if (!_takesEmbeddings) hidden = _embedTokens.Call(inputIds);                                    // [batch, seq, hidden]
        if (_embeddingMultiplier is not null) hidden = hidden * _embeddingMultiplier.Value;             // [batch, seq, hidden]
        Tensor[] masks;
        if (_windows is null) masks = [AttentionMask.Causal(attentionMask, seqLen, hidden.dtype, _window)]; // [batch, 1, seq, kvSeq]
        else masks = SlidingWindows.Masks(_windows, attentionMask, seqLen, hidden.dtype);                 // layers x [batch, 1, seq, kvSeq]
        if (_embedDropout is not null) hidden = _embedDropout.Call(hidden);                             // [batch, seq, hidden]
        object?[] positions = _rotaryEmb!.Call(hidden, positionIds);                                    // 2 x [batch, seq, rotaryDim]
        for (int layer = 0; layer < _layers.Count; layer++)
        {
            Tensor mask = masks[_windows is null ? 0 : layer];                                          // [batch, 1, seq, kvSeq]
            hidden = (Tensor)_layers[layer].Call(hidden, mask, positionIds, cache, positions)[0]!;      // [batch, seq, hidden]
        }
        hidden = _norm.Call(hidden);                                                                    // [batch, seq, hidden]
        cache?.Advance(seqLen);
        return new ModelOutput(new("last_hidden_state", hidden.MoveToOuterDisposeScope()), new("past_key_values", cache));
    }
}
