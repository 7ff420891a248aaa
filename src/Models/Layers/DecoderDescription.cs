using Ndif.Models.Config;
using Ndif.Models.CpuKernels;
using Tensor = TorchSharp.torch.Tensor;

namespace Ndif.Models.Layers;

/// <summary>The point at which an attention module normalizes queries and keys.</summary>
internal enum QkNorms
{
    None,

    /// <summary>The values of all heads together, as the projection returns them.</summary>
    AllHeads,

    /// <summary>The values of each head, before heads and tokens are transposed.</summary>
    EachHead,

    /// <summary>The values of each head, after the values are projected too, and before heads and tokens are transposed.</summary>
    EachHeadAfterProjections,

    /// <summary>The values of each head, after the values are projected too.</summary>
    EachHeadAfterSplit,

    /// <summary>The values of each head, after they are rotated.</summary>
    EachHeadAfterRotation,
}

/// <summary>
/// A decoder of the Llama family: its config, the names of its classes and modules in Hugging Face's code, and how it
/// differs from Llama. The modules, their <c>.Source</c> and their fused forms are built from it.
/// </summary>
/// <param name="Family">The prefix of the class names: "Llama".</param>
internal sealed record DecoderDescription(DecoderConfig Config, string Family)
{
    public string ModelClass { get; init; } = $"{Family}Model";

    /// <summary>The class of the token embeddings; "Embedding" is PyTorch's own.</summary>
    public string EmbeddingClass { get; init; } = "Embedding";

    /// <summary>Whether embeddings are multiplied by the square root of the hidden size.</summary>
    public bool ScalesEmbeddings { get; init; }

    /// <summary>The probability of the dropout after the embeddings; null if the model has no such dropout.</summary>
    public double? EmbeddingDropout { get; init; }

    public NormKind Norm { get; init; } = NormKind.Rms;

    /// <summary>Creates a norm of this size and these axes, if it is of a class of its own; null for <see cref="Norm"/>.</summary>
    public Func<int, Axes?, TensorModule>? CreateNormOfFamily { get; init; }

    public LayerNorms LayerNorms { get; init; } = LayerNorms.Before;

    public QkNorms QkNorms { get; init; }

    public (string Query, string Key) QkNormNames { get; init; } = ("q_norm", "k_norm");

    /// <summary>
    /// Creates the norm of queries or keys from the number of heads and the axes, if it has weights for each head; null for a norm that
    /// all heads share.
    /// </summary>
    public Func<int, Axes?, TensorModule>? CreateQkNormOfHeads { get; init; }

    /// <summary>A token attends to itself and the Window - 1 tokens before it; null for all tokens.</summary>
    public int? Window { get; init; }

    /// <summary>The window of each layer, if layer types differ in it; null if <see cref="Window"/> applies to all layers.</summary>
    public int?[]? Windows { get; init; }

    /// <summary>Whether the projections of queries, keys and values have a bias.</summary>
    public bool QkvBias { get; init; }

    public bool OutputBias { get; init; }

    public string OutputProjectionName { get; init; } = "o_proj";

    /// <summary>The factor of the attention scores.</summary>
    public double Scale { get; init; } = 1 / Math.Sqrt(Config.HeadDim);

    /// <summary>Soft cap of attention scores: cap · tanh(score / cap); null for none.</summary>
    public double? AttentionSoftCap { get; init; }

    /// <summary>Soft cap of logits: cap · tanh(logit / cap); null for none.</summary>
    public double? LogitSoftCap { get; init; }

    /// <summary>The factor of the embeddings, applied by the model; null for none.</summary>
    public double? EmbeddingMultiplier { get; init; }

    /// <summary>The factor of the outputs of attention and mlp before they are added to the residual stream; null for none.</summary>
    public double? ResidualMultiplier { get; init; }

    /// <summary>The factor of the logits; null for none.</summary>
    public double? LogitMultiplier { get; init; }

    /// <summary>The divisor of the logits; null for none.</summary>
    public double? LogitDivisor { get; init; }

    /// <summary>Queries, keys and values are limited to [-ClipQkv, ClipQkv]; null for no limit.</summary>
    public double? ClipQkv { get; init; }

    /// <summary>Whether positions rotate the queries and keys of a layer.</summary>
    public Func<int, bool> HasRotaryPositions { get; init; } = static _ => true;

    /// <summary>Whether each attention has a rotary embedding in its tree that it never calls, as in Nemotron.</summary>
    public bool HasUnusedRotaryEmbedding { get; init; }

    /// <summary>How queries grow with their position; null if they do not.</summary>
    public QueryScaling? QueryScaling { get; init; }

    /// <summary>Whether the model has a rotary embedding, whose result all layers receive.</summary>
    public bool HasRotaryEmbedding { get; init; } = true;

    /// <summary>The class and the name of the rotary embedding. Default class: that of the family.</summary>
    public (string? Class, string Name) Rotary { get; init; } = (null, "rotary_emb");

    /// <summary>Whether the constructor of Hugging Face's model creates the rotary embedding before the final norm.</summary>
    public bool IsRotaryBeforeNorm { get; init; }

    /// <summary>The name of the token embeddings.</summary>
    public string EmbeddingName { get; init; } = "embed_tokens";

    /// <summary>The sections of frequencies that belong to time, height and width of an image; null for text only.</summary>
    public IReadOnlyList<int>? RotarySections { get; init; }

    /// <summary>The dimensions of a head that are rotated together.</summary>
    public RotaryPairs RotaryPairs { get; init; }

    /// <summary>Whether positions rotate only the first <see cref="DecoderConfig.RotaryDim"/> dimensions of a head.</summary>
    public bool IsPartialRotary { get; init; }

    /// <summary>The rotated dimensions of a head, if they are neither all nor a fraction of <see cref="DecoderConfig.HeadDim"/>.</summary>
    public int? RotaryDim { get; init; }

    /// <summary>Whether queries and keys are rotated in float32 also where the model has another type.</summary>
    public bool RotatesInFloat32 { get; init; }

    public bool MlpBias { get; init; }

    /// <summary>The name of a layer's mlp.</summary>
    public string MlpName { get; init; } = "mlp";

    /// <summary>Config key and default of the mlp's activation.</summary>
    public (string Key, string Default) Activation { get; init; } = ("hidden_act", "silu");

    /// <summary>The names and the probability of the dropouts after attention and mlp; the same name twice is one module.</summary>
    public (string Attention, string Mlp, double P)? ResidualDropouts { get; init; }

    public string FinalNormName { get; init; } = "norm";

    public bool HeadBias { get; init; }

    /// <summary>Whether the rotary embedding receives the positions as its second argument instead of by name.</summary>
    public bool PassesPositionIdsByPosition { get; init; }

    /// <summary>Whether layers receive use_cache.</summary>
    public bool PassesUseCache { get; init; } = true;

    /// <summary>Whether layers receive position_ids.</summary>
    public bool PassesPositionIds { get; init; } = true;

    /// <summary>Whether attentions receive position_ids. Default: as layers.</summary>
    public bool? PassesPositionIdsToAttention { get; init; }

    /// <summary>Whether attentions receive use_cache. Default: as layers.</summary>
    public bool? PassesUseCacheToAttention { get; init; }

    /// <summary>Whether the model, its layers and its attentions receive output_router_logits.</summary>
    public bool PassesRouterLogits { get; init; }

    public Func<DecoderDescription, int, DecoderBlock> CreateLayer { get; init; } = static (d, layer) => new DecoderLayer(d, layer);

    public Func<DecoderDescription, int, DecoderAttention> CreateAttention { get; init; } =
        static (d, layer) => new RotaryAttention(d, layer);

    /// <summary>Creates the mlp of a layer from its index.</summary>
    public Func<DecoderDescription, int, TensorModule> CreateMlp { get; init; } =
        static (d, _) => new GatedMlp($"{d.Family}MLP", d.Config.HiddenSize, d.Config.IntermediateSize, d.CreateActivation(), d.MlpBias);

    /// <summary>True for the language model of a multimodal one, whose parent passes it the embeddings of its tokens.</summary>
    public bool TakesEmbeddings { get; init; }

    public Activation CreateActivation() => Layers.Activation.Read(Config.Json, Activation.Key, Activation.Default);

    /// <param name="size">The size of the last dimension.</param>
    /// <param name="axes">The axes of the input, if they are not [batch, seq, ...].</param>
    public TensorModule CreateNorm(int size, Axes? axes = null) => CreateNormOfFamily is not null ? CreateNormOfFamily(size, axes)
        : Norm is NormKind.Layer ? new LayerNorm(size, Config.NormEps, axes: axes)
        : new RMSNorm($"{Family}RMSNorm", size, Config.NormEps, Norm, axes);

    public RotaryEmbedding CreateRotaryEmbedding() => new(Rotary.Class ?? $"{Family}RotaryEmbedding",
        new(Config.Json, Config.RopeParameters, RotaryDim ?? (IsPartialRotary ? Config.RotaryDim : Config.HeadDim)),
        PassesPositionIdsByPosition, RotatesInFloat32, RotaryPairs, RotarySections);

    /// <summary>The keyword arguments of a layer's call.</summary>
    public IEnumerable<KeyValuePair<string, object?>> CreateArguments(
        Tensor? mask, Tensor positionIds, KeyValueCache? cache, object?[] positionEmbeddings) =>
        CreateArguments(mask, PassesPositionIds ? positionIds : null, cache, positionEmbeddings, PassesUseCache);

    /// <summary>The keyword arguments of an attention's call.</summary>
    public IEnumerable<KeyValuePair<string, object?>> CreateAttentionArguments(
        Tensor hidden, Tensor mask, Tensor positionIds, KeyValueCache? cache, object?[] positionEmbeddings) =>
        CreateArguments(mask, PassesPositionIdsToAttention ?? PassesPositionIds ? positionIds : null, cache, positionEmbeddings,
            PassesUseCacheToAttention ?? PassesUseCache).Prepend(new("hidden_states", hidden));

    /// <summary>The position of position_embeddings among a layer's arguments.</summary>
    public int PositionEmbeddingsAt => 3 + (PassesPositionIds ? 1 : 0) + (PassesUseCache ? 1 : 0);

    /// <summary>The position of position_embeddings among an attention's arguments.</summary>
    public int AttentionPositionEmbeddingsAt =>
        3 + (PassesPositionIdsToAttention ?? PassesPositionIds ? 1 : 0) + (PassesUseCacheToAttention ?? PassesUseCache ? 1 : 0);

    private IEnumerable<KeyValuePair<string, object?>> CreateArguments(
        Tensor? mask, Tensor? positionIds, KeyValueCache? cache, object?[] positionEmbeddings, bool passesUseCache)
    {
        if (mask is not null) yield return new("attention_mask", mask);
        if (positionIds is not null) yield return new("position_ids", positionIds);
        yield return new("past_key_values", cache);
        if (passesUseCache) yield return new("use_cache", cache is not null);
        if (HasRotaryEmbedding) yield return new("position_embeddings", positionEmbeddings);
        if (PassesRouterLogits) yield return new("output_router_logits", false);
    }
}
