using Ndif.Models.ForwardSource;
using static TorchSharp.torch;

namespace Ndif.Models.Layers;

/// <summary>Rotary positions for the first part of a head's width; the rest stays as it is.</summary>
/// <remarks>apply_rotary_pos_emb in transformers/models/gpt_neox/modeling_gpt_neox.py</remarks>
public static partial class PartialRotary
{
    /// <param name="x">[batch, heads, seq, headDim]</param>
    /// <param name="positionEmbeddings">What <see cref="RotaryEmbedding.Call"/> gave: 2 x [batch, seq, rotaryDim].</param>
    /// <returns>[batch, heads, seq, headDim]</returns>
    [Operation("apply_rotary_pos_emb")]
    public static Tensor Rotate(Tensor x, object?[] positionEmbeddings)
    {
        long rotated = ((Tensor)positionEmbeddings[0]!).size(-1), width = x.size(-1);
        if (rotated == width) return RotaryEmbedding.Rotate(x, positionEmbeddings);
        Tensor turned = RotaryEmbedding.Rotate(x.narrow(-1, 0, rotated), positionEmbeddings);    // [batch, heads, seq, rotaryDim]
        return cat([turned, x.narrow(-1, rotated, width - rotated)], -1);
    }
}
