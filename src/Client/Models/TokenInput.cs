namespace Ndif;

/// <summary>Token ids with a mask, as a tokenizer returns them.</summary>
/// <param name="InputIds">The token ids. [batch, seq]</param>
/// <param name="AttentionMask">0 where a token is padding, else 1; null if there is no padding. [batch, seq]</param>
/// <param name="TokenTypeIds">The text of a pair that a token belongs to: 0 or 1; null for 0 everywhere. [batch, seq]</param>
public sealed record TokenInput(TensorData InputIds, TensorData? AttentionMask = null, TensorData? TokenTypeIds = null)
{
    /// <summary>The tokens of the decoder in an encoder-decoder; null for the one that a decoder starts with. [batch, seq]</summary>
    public TensorData? DecoderInputIds { get; init; }
}
