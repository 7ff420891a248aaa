using Ndif.Models.ForwardSource;
using static TorchSharp.torch;

namespace Ndif.Models.Layers;

/// <summary>Rotary positions for the first dimensions of a head; the others are unchanged.</summary>
/// <remarks>apply_rotary_pos_emb in transformers/models/gpt_neox/modeling_gpt_neox.py</remarks>
public static partial class PartialRotary
{
    /// <param name="x">[batch, heads, seq, headDim]</param>
    /// <param name="positionEmbeddings">The result of <see cref="RotaryEmbedding.Call"/>: 2 x [batch, seq, rotaryDim].</param>
    /// <returns>[batch, heads, seq, headDim]</returns>
    [Operation("apply_rotary_pos_emb")]
    public static Tensor Rotate(Tensor x, object?[] positionEmbeddings)
    {
        long rotaryDim = ((Tensor)positionEmbeddings[0]!).size(-1), headDim = x.size(-1);
        if (rotaryDim == headDim) return RotaryEmbedding.Rotate(x, positionEmbeddings);
        Tensor rotated = RotaryEmbedding.Rotate(x.narrow(-1, 0, rotaryDim), positionEmbeddings);    // [batch, heads, seq, rotaryDim]
        return cat([rotated, x.narrow(-1, rotaryDim, headDim - rotaryDim)], -1);
    }
}
