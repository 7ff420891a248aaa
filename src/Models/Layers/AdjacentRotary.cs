using Ndif.Models.ForwardSource;
using static TorchSharp.torch;

namespace Ndif.Models.Layers;

/// <summary>Rotary positions for pairs of adjacent dimensions; dimensions after the rotated ones are unchanged.</summary>
public static partial class AdjacentRotary
{
    /// <summary>Rotates with cosines and sines of which the first half belongs to the pairs.</summary>
    /// <remarks>apply_rotary_pos_emb in transformers/models/glm/modeling_glm.py</remarks>
    /// <param name="x">[batch, heads, seq, headDim]</param>
    /// <param name="positionEmbeddings">The result of <see cref="RotaryEmbedding.Call"/>: 2 x [batch, seq, rotaryDim].</param>
    /// <returns>[batch, heads, seq, headDim]</returns>
    [Operation("apply_rotary_pos_emb")]
    public static Tensor Rotate(Tensor x, object?[] positionEmbeddings)
    {
        Tensor cosines = (Tensor)positionEmbeddings[0]!, sines = (Tensor)positionEmbeddings[1]!;        // [batch, seq, rotaryDim]
        long rotaryDim = cosines.size(-1), headDim = x.size(-1);
        cosines = cosines.narrow(-1, 0, rotaryDim / 2).repeat_interleave(2, 2).unsqueeze(1);            // [batch, 1, seq, rotaryDim]
        sines = sines.narrow(-1, 0, rotaryDim / 2).repeat_interleave(2, 2).unsqueeze(1);                // [batch, 1, seq, rotaryDim]
        Tensor part = x.narrow(-1, 0, rotaryDim);                                                       // [batch, heads, seq, rotaryDim]
        Tensor rotated = (part * cosines + RotateHalf(part) * sines).to(x.dtype);                       // [batch, heads, seq, rotaryDim]
        return cat([rotated, x.narrow(-1, rotaryDim, headDim - rotaryDim)], -1);
    }

    /// <summary>Rotates in float32 with cosines and sines that are repeated for both dimensions of a pair.</summary>
    /// <remarks>apply_rotary_pos_emb in transformers/models/cohere/modeling_cohere.py</remarks>
    /// <param name="x">[batch, heads, seq, headDim]</param>
    /// <param name="positionEmbeddings">The result of <see cref="RotaryEmbedding.Call"/>: 2 x [batch, seq, headDim].</param>
    /// <returns>[batch, heads, seq, headDim]</returns>
    [Operation("apply_rotary_pos_emb")]
    public static Tensor RotateRepeated(Tensor x, object?[] positionEmbeddings)
    {
        Tensor cosines = ((Tensor)positionEmbeddings[0]!).unsqueeze(1);                                 // [batch, 1, seq, headDim]
        Tensor sines = ((Tensor)positionEmbeddings[1]!).unsqueeze(1);                                   // [batch, 1, seq, headDim]
        Tensor precise = x.to(ScalarType.Float32);                                                      // [batch, heads, seq, headDim]
        return (precise * cosines + RotateHalf(precise) * sines).to(x.dtype);
    }

    /// <summary>(-x₁, x₀) for each pair (x₀, x₁).</summary>
    /// <param name="x">[batch, heads, seq, rotaryDim]</param>
    /// <returns>[batch, heads, seq, rotaryDim]</returns>
    [Operation("rotate_half")]
    private static Tensor RotateHalf(Tensor x)
    {
        Tensor pairs = x.reshape(x.size(0), x.size(1), x.size(2), x.size(3) / 2, 2); // [batch, heads, seq, rotaryDim/2, 2]
        return stack([-pairs.select(4, 1), pairs.select(4, 0)], 4).flatten(3);
    }
}
