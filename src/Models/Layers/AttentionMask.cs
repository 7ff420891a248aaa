using Ndif.Models.ForwardSource;
using static TorchSharp.torch;

namespace Ndif.Models.Layers;

/// <summary>What each token may attend to, as numbers to add to the scores: 0 or the least finite number.</summary>
/// <remarks>eager_mask in transformers/masking_utils.py</remarks>
public static partial class AttentionMask
{
    /// <param name="attentionMask">[batch, kvSeq]: 0 where a row has padding, over the cached tokens and this pass's.</param>
    /// <param name="seqLen">Tokens of this pass: the last ones of the keys.</param>
    /// <param name="window">A token sees itself and window - 1 before it, if given.</param>
    /// <returns>[batch, 1, seq, kvSeq]</returns>
    [Operation("create_causal_mask")]
    public static Tensor Causal(Tensor attentionMask, long seqLen, ScalarType dtype, int? window = null)
    {
        using var scope = NewDisposeScope();
        long rows = attentionMask.size(0), keys = attentionMask.size(1);
        Tensor key = arange(keys, device: attentionMask.device);                                           // [kvSeq]
        Tensor query = arange(keys - seqLen, keys, device: attentionMask.device).unsqueeze(1);             // [seq, 1]
        Tensor hidden = key > query;                                                                 // [seq, kvSeq]
        if (window is { } width) hidden = hidden | (key <= query - width);
        hidden = hidden | (attentionMask == 0).view(rows, 1, 1, keys);                                     // [batch, 1, seq, kvSeq]
        return zeros([rows, 1, seqLen, keys], dtype, attentionMask.device).masked_fill_(hidden, MaskValue(dtype)).MoveToOuterDisposeScope();
    }

    /// <summary>
    /// Finite, so that a padding token, which may attend to nothing, gets equal probabilities and not NaN. Half of it in float16,
    /// where a score of -16 beside it would already be minus infinity.
    /// </summary>
    private static double MaskValue(ScalarType dtype) => dtype == ScalarType.Float16 ? finfo(dtype).min / 2 : finfo(dtype).min;
}
