namespace Ndif.Models.Layers;

/// <summary>The position of a norm in a decoder layer.</summary>
internal enum NormPosition
{
    BeforeAttention,
    AfterAttention,
    BeforeMlp,
    AfterMlp,
}

/// <summary>The norms of a decoder layer, under their names and in the order of Hugging Face's code.</summary>
internal sealed record LayerNorms(params (NormPosition Position, string Name)[] Norms)
{
    /// <summary>A norm before attention and one before the mlp, as in Llama.</summary>
    public static readonly LayerNorms Before = new(
        (NormPosition.BeforeAttention, "input_layernorm"), (NormPosition.BeforeMlp, "post_attention_layernorm"));

    /// <summary>A norm after attention and one after the mlp, as in OLMo 2.</summary>
    public static readonly LayerNorms After = new(
        (NormPosition.AfterAttention, "post_attention_layernorm"), (NormPosition.AfterMlp, "post_feedforward_layernorm"));

    /// <summary>Norms before and after both, as in Gemma 2.</summary>
    public static readonly LayerNorms Sandwich = new(
        (NormPosition.BeforeAttention, "input_layernorm"), (NormPosition.AfterAttention, "post_attention_layernorm"),
        (NormPosition.BeforeMlp, "pre_feedforward_layernorm"), (NormPosition.AfterMlp, "post_feedforward_layernorm"));

    /// <summary>One norm, which attention and mlp both read (parallel residual), as in Phi.</summary>
    public static readonly LayerNorms Shared = new((NormPosition.BeforeAttention, "input_layernorm")) { MlpReadsFirstNorm = true };

    /// <summary>Whether the mlp reads the norm before attention.</summary>
    public bool MlpReadsFirstNorm { get; init; }
}
