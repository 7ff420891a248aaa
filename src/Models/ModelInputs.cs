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
}
