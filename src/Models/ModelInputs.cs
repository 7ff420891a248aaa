using Tensor = TorchSharp.torch.Tensor;

namespace Ndif.Models;

/// <summary>The inputs of a forward pass of any model.</summary>
/// <param name="InputIds">[batch, seq] int64</param>
/// <param name="AttentionMask">[batch, cached + seq] int64: 1 for a token, 0 for padding</param>
/// <param name="PositionIds">[batch, seq] int64: the position of a token in its row, padding not counted</param>
/// <param name="Cache">The keys and values of the earlier tokens, to which these are appended; null to run without a cache.</param>
/// <param name="LogitsToKeep">The number of last tokens whose logits are computed; 0 for all.</param>
public sealed record ModelInputs(
    Tensor InputIds, Tensor AttentionMask, Tensor PositionIds, KeyValueCache? Cache = null, int LogitsToKeep = 0)
{
    /// <summary>The text of a pair that a token belongs to: [batch, seq] int64; null for 0 everywhere.</summary>
    public Tensor? TokenTypeIds { get; init; }

    /// <summary>
    /// Of an encoder-decoder: the decoder's tokens, [batch, decoderSeq] int64. Its <see cref="InputIds"/> and <see cref="AttentionMask"/>,
    /// [batch, seq], are the encoder's, and <see cref="Cache"/> is the decoder's.
    /// </summary>
    public Tensor? DecoderInputIds { get; init; }

    /// <summary>[batch, cached + decoderSeq] int64: 1 for a token of the decoder, 0 for padding. Its positions are counted here.</summary>
    public Tensor? DecoderAttentionMask { get; init; }

    /// <summary>
    /// The encoder's hidden states of an earlier pass, [batch, seq, hidden]: the encoder does not run, and <see cref="InputIds"/> are not
    /// read. <see cref="KeyValueCache.EncoderOutput"/> has them, and the attention mask for them.
    /// </summary>
    public Tensor? EncoderOutput { get; init; }
}
