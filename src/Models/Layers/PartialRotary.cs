using static TorchSharp.torch;

namespace Ndif.Models.Layers;

/// <summary>Rotary positions for the first part of a head's width; the rest stays as it is.</summary>
/// <remarks>apply_rotary_pos_emb in transformers/models/gpt_neox/modeling_gpt_neox.py</remarks>
public static partial class PartialRotary
{
    /// <param name="x">[rows, heads, tokens, width]</param>
    /// <param name="positions">What <see cref="RotaryEmbedding.Call"/> gave: 2 x [rows, tokens, rotated width].</param>
    /// <returns>[rows, heads, tokens, width]</returns>
    [Operation("apply_rotary_pos_emb")]
    public static Tensor Rotate(Tensor x, object?[] positions)
    {
        long rotated = ((Tensor)positions[0]!).size(-1), width = x.size(-1);
        if (rotated == width) return RotaryEmbedding.Rotate(x, positions);
        Tensor turned = RotaryEmbedding.Rotate(x.narrow(-1, 0, rotated), positions);    // [rows, heads, tokens, rotated width]
        return cat([turned, x.narrow(-1, rotated, width - rotated)], -1);
    }
}
