using Ndif.Models.Config;
using Ndif.Models.CpuKernels;
using Tensor = TorchSharp.torch.Tensor;

namespace Ndif.Models.Layers;

/// <summary>The positions of the norms of a decoder layer, with their names in Hugging Face's code.</summary>
internal enum LayerNorms
{
    /// <summary>input_layernorm before attention, post_attention_layernorm before the mlp.</summary>
    Before,

    /// <summary>post_attention_layernorm after attention, post_feedforward_layernorm after the mlp.</summary>
    After,

    /// <summary>Before and after both.</summary>
    Sandwich,

    /// <summary>input_layernorm before attention and mlp, which both read it (parallel residual).</summary>
    Shared,
}

/// <summary>The point at which an attention module normalizes queries and keys.</summary>
internal enum QkNorms
{
    None,

    /// <summary>The values of all heads together, as the projection returns them.</summary>
    AllHeads,

    /// <summary>The values of each head, before heads and tokens are transposed.</summary>
    EachHead,

    /// <summary>The values of each head, after the values are projected too.</summary>
    EachHeadAfterSplit,
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

    public LayerNorms LayerNorms { get; init; }

    public QkNorms QkNorms { get; init; }

    public (string Query, string Key) QkNormNames { get; init; } = ("q_norm", "k_norm");

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

    /// <summary>Whether positions rotate only the first <see cref="DecoderConfig.RotaryDim"/> dimensions of a head.</summary>
    public bool IsPartialRotary { get; init; }

    /// <summary>Whether queries and keys are rotated in float32 also where the model has another type.</summary>
    public bool RotatesInFloat32 { get; init; }

    public bool MlpBias { get; init; }

    /// <summary>Config key and default of the mlp's activation.</summary>
    public (string Key, string Default) Activation { get; init; } = ("hidden_act", "silu");

    /// <summary>The names and the probability of the dropouts after attention and mlp; the same name twice is one module.</summary>
    public (string Attention, string Mlp, double P)? ResidualDropouts { get; init; }

    public string FinalNormName { get; init; } = "norm";

    public bool HeadBias { get; init; }

    /// <summary>Whether the rotary embedding receives the positions as its second argument instead of by name.</summary>
    public bool PassesPositionIdsByPosition { get; init; }

    /// <summary>Whether layers and attentions receive use_cache.</summary>
    public bool PassesUseCache { get; init; } = true;

    /// <summary>Whether the model, its layers and its attentions receive output_router_logits.</summary>
    public bool PassesRouterLogits { get; init; }

    public Func<DecoderDescription, int, DecoderLayer> CreateLayer { get; init; } = static (d, layer) => new DecoderLayer(d, layer);

    public Func<DecoderDescription, int, DecoderAttention> CreateAttention { get; init; } =
        static (d, layer) => new RotaryAttention(d, layer);

    /// <summary>Creates the mlp of a layer from its index.</summary>
    public Func<DecoderDescription, int, TensorModule> CreateMlp { get; init; } =
        static (d, _) => new GatedMlp($"{d.Family}MLP", d.Config.HiddenSize, d.Config.IntermediateSize, d.CreateActivation(), d.MlpBias);

    public Activation CreateActivation() => Layers.Activation.Read(Config.Json, Activation.Key, Activation.Default);

    /// <param name="size">The size of the last dimension.</param>
    /// <param name="axes">The axes of the input, if they are not [batch, seq, ...].</param>
    public TensorModule CreateNorm(int size, Axes? axes = null) => Norm is NormKind.Layer
        ? new LayerNorm(size, Config.NormEps, axes: axes) : new RMSNorm($"{Family}RMSNorm", size, Config.NormEps, Norm, axes);

    public RotaryEmbedding CreateRotaryEmbedding() => new($"{Family}RotaryEmbedding",
        new(Config.Json, Config.RopeParameters, IsPartialRotary ? Config.RotaryDim : Config.HeadDim), PassesPositionIdsByPosition,
        RotatesInFloat32);

    /// <summary>The keyword arguments of a layer's call; those of an attention's begin with hidden_states.</summary>
    public IEnumerable<KeyValuePair<string, object?>> CreateArguments(
        Tensor mask, Tensor positionIds, KeyValueCache? cache, object?[] positionEmbeddings)
    {
        yield return new("attention_mask", mask);
        yield return new("position_ids", positionIds);
        yield return new("past_key_values", cache);
        if (PassesUseCache) yield return new("use_cache", cache is not null);
        yield return new("position_embeddings", positionEmbeddings);
        if (PassesRouterLogits) yield return new("output_router_logits", false);
    }

    /// <summary>The position of position_embeddings among a layer's arguments.</summary>
    public int PositionEmbeddingsAt => PassesUseCache ? 5 : 4;
}
