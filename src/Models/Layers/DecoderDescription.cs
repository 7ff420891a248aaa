using Ndif.Models.Config;
using Ndif.Models.CpuKernels;
using Tensor = TorchSharp.torch.Tensor;

namespace Ndif.Models.Layers;

/// <summary>Where a decoder layer has norms, under the names that Hugging Face's code gives them.</summary>
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

/// <summary>Where an attention normalizes queries and keys.</summary>
internal enum QkNorms
{
    None,

    /// <summary>All heads' values together, as the projection gives them.</summary>
    AllHeads,

    /// <summary>Each head's values, before heads and tokens change places.</summary>
    EachHead,

    /// <summary>Each head's values, when the values are projected too.</summary>
    EachHeadAfterSplit,
}

/// <summary>
/// A decoder of the Llama family: its config, the names of its classes and modules in Hugging Face's code, and what it has in place of
/// Llama's parts. The modules, their <c>.Source</c> and their fused forms are made from it.
/// </summary>
/// <param name="Family">The prefix of the class names: "Llama".</param>
internal sealed record DecoderDescription(DecoderConfig Config, string Family)
{
    public string ModelClass { get; init; } = $"{Family}Model";

    /// <summary>The class of the token embeddings; "Embedding" is PyTorch's own.</summary>
    public string EmbeddingClass { get; init; } = "Embedding";

    /// <summary>Embeddings are multiplied by the square root of the hidden size.</summary>
    public bool ScalesEmbeddings { get; init; }

    /// <summary>Null: the model has no dropout behind its embeddings.</summary>
    public double? EmbeddingDropout { get; init; }

    public NormKind Norm { get; init; } = NormKind.Rms;

    public LayerNorms LayerNorms { get; init; }

    public QkNorms QkNorms { get; init; }

    public (string Query, string Key) QkNormNames { get; init; } = ("q_norm", "k_norm");

    /// <summary>A token sees itself and Window - 1 before it; null for all.</summary>
    public int? Window { get; init; }

    /// <summary>The window of each layer, where a layer type decides; null where <see cref="Window"/> holds for all.</summary>
    public int?[]? Windows { get; init; }

    /// <summary>Of queries, keys and values.</summary>
    public bool QkvBias { get; init; }

    public bool OutputBias { get; init; }

    public string OutputProjectionName { get; init; } = "o_proj";

    /// <summary>What scores are multiplied with.</summary>
    public double Scale { get; init; } = 1 / Math.Sqrt(Config.HeadDim);

    /// <summary>Scores are bent to stay between -cap and cap, if given.</summary>
    public double? AttentionSoftCap { get; init; }

    /// <summary>The same for logits.</summary>
    public double? LogitSoftCap { get; init; }

    /// <summary>Positions rotate the first <see cref="DecoderConfig.RotaryDim"/> dimensions of a head; otherwise all.</summary>
    public bool IsPartialRotary { get; init; }

    public bool MlpBias { get; init; }

    /// <summary>Config key and default of the mlp's activation.</summary>
    public (string Key, string Default) Activation { get; init; } = ("hidden_act", "silu");

    /// <summary>Dropouts of what attention and mlp give, with their names; the same name twice is one module.</summary>
    public (string Attention, string Mlp, double P)? ResidualDropouts { get; init; }

    public string FinalNormName { get; init; } = "norm";

    public bool HeadBias { get; init; }

    /// <summary>The rotary embedding gets the positions as its second argument, not by name.</summary>
    public bool PassesPositionIdsByPosition { get; init; }

    /// <summary>Layers and attentions get use_cache too.</summary>
    public bool PassesUseCache { get; init; } = true;

    /// <summary>Model, layers and attentions get output_router_logits too.</summary>
    public bool PassesRouterLogits { get; init; }

    public Func<DecoderDescription, int, DecoderLayer> CreateLayer { get; init; } = static (d, layer) => new DecoderLayer(d, layer);

    public Func<DecoderDescription, int, DecoderAttention> CreateAttention { get; init; } =
        static (d, layer) => new RotaryAttention(d, layer);

    /// <summary>From the layer's index.</summary>
    public Func<DecoderDescription, int, TensorModule> CreateMlp { get; init; } =
        static (d, _) => new GatedMlp($"{d.Family}MLP", d.Config.HiddenSize, d.Config.IntermediateSize, d.CreateActivation(), d.MlpBias);

    public Activation CreateActivation() => Layers.Activation.Read(Config.Json, Activation.Key, Activation.Default);

    /// <param name="size">Of the last dimension.</param>
    /// <param name="axes">Of its input, where that is not [batch, seq, ...].</param>
    public TensorModule CreateNorm(int size, Axes? axes = null) => Norm is NormKind.Layer
        ? new LayerNorm(size, Config.NormEps, axes: axes) : new RMSNorm($"{Family}RMSNorm", size, Config.NormEps, Norm, axes);

    public RotaryEmbedding CreateRotaryEmbedding() => new($"{Family}RotaryEmbedding",
        new(Config.Json, Config.RopeParameters, IsPartialRotary ? Config.RotaryDim : Config.HeadDim), PassesPositionIdsByPosition);

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
