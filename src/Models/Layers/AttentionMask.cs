using static TorchSharp.torch;

namespace Ndif.Models.Layers;

/// <summary>What each token may attend to, as numbers to add to the scores: 0 or the least finite number.</summary>
/// <remarks>eager_mask in transformers/masking_utils.py</remarks>
public static partial class AttentionMask
{
    /// <param name="padding">[rows, keys]: 0 where a row has padding, over the cached tokens and this pass's.</param>
    /// <param name="tokens">Tokens of this pass: the last ones of the keys.</param>
    /// <param name="window">A token sees itself and window - 1 before it, if given.</param>
    /// <returns>[rows, 1, tokens, keys]</returns>
    [Operation("create_causal_mask")]
    public static Tensor Causal(Tensor padding, long tokens, ScalarType dtype, int? window = null)
    {
        using var scope = NewDisposeScope();
        long rows = padding.size(0), keys = padding.size(1);
        Tensor key = arange(keys, device: padding.device);                                           // [keys]
        Tensor query = arange(keys - tokens, keys, device: padding.device).unsqueeze(1);             // [tokens, 1]
        Tensor hidden = key > query;                                                                 // [tokens, keys]
        if (window is { } width) hidden = hidden | (key <= query - width);
        hidden = hidden | (padding == 0).view(rows, 1, 1, keys);                                     // [rows, 1, tokens, keys]
        return zeros([rows, 1, tokens, keys], dtype, padding.device).masked_fill_(hidden, Least(dtype)).MoveToOuterDisposeScope();
    }

    /// <summary>
    /// Finite, so that a padding token, which may attend to nothing, gets equal probabilities and not NaN. Half of it in float16,
    /// where a score of -16 beside it would already be minus infinity.
    /// </summary>
    private static double Least(ScalarType dtype) => dtype == ScalarType.Float16 ? finfo(dtype).min / 2 : finfo(dtype).min;
}
