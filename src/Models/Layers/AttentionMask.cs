using Ndif.Models.ForwardSource;
using static TorchSharp.torch;

namespace Ndif.Models.Layers;

/// <summary>The attention mask to add to the scores: 0, or the lowest finite value of the dtype where a token may not attend.</summary>
/// <remarks>eager_mask in transformers/masking_utils.py</remarks>
public static partial class AttentionMask
{
    /// <param name="attentionMask">[batch, kvSeq]: 0 for padding, over the cached tokens and those of this pass.</param>
    /// <param name="seqLen">The number of tokens of this pass, which are the last of kvSeq.</param>
    /// <param name="window">If given, a token attends to itself and the window - 1 tokens before it.</param>
    /// <returns>[batch, 1, seq, kvSeq]</returns>
    [Operation("create_causal_mask")]
    public static Tensor Causal(Tensor attentionMask, long seqLen, ScalarType dtype, int? window = null)
    {
        using var scope = NewDisposeScope();
        long batch = attentionMask.size(0), kvSeqLen = attentionMask.size(1);
        Tensor key = arange(kvSeqLen, device: attentionMask.device);                                        // [kvSeq]
        Tensor query = arange(kvSeqLen - seqLen, kvSeqLen, device: attentionMask.device).unsqueeze(1);      // [seq, 1]
        Tensor masked = key > query;                                                                        // [seq, kvSeq]
        if (window is { } size) masked = masked | (key <= query - size);
        masked = masked | (attentionMask == 0).view(batch, 1, 1, kvSeqLen);                                 // [batch, 1, seq, kvSeq]
        Tensor mask = zeros([batch, 1, seqLen, kvSeqLen], dtype, attentionMask.device);                     // [batch, 1, seq, kvSeq]
        return mask.masked_fill_(masked, MaskValue(dtype)).MoveToOuterDisposeScope();
    }

    /// <summary>The mask of tokens that see those before and after them.</summary>
    /// <param name="attentionMask">[batch, kvSeq]: 0 for padding.</param>
    /// <returns>[batch, 1, seq, kvSeq]</returns>
    [Operation("create_bidirectional_mask")]
    public static Tensor Bidirectional(Tensor attentionMask, ScalarType dtype)
    {
        using var scope = NewDisposeScope();
        Tensor isPadding = (attentionMask == 0).unsqueeze(1).unsqueeze(1);                                  // [batch, 1, 1, kvSeq]
        Tensor masked = isPadding.expand(-1, -1, attentionMask.size(1), -1);                                // [batch, 1, seq, kvSeq]
        return Fill(masked, attentionMask, dtype).MoveToOuterDisposeScope();
    }

    /// <summary>The mask of a decoder's token, which sees all tokens of the encoder.</summary>
    /// <param name="encoderMask">[batch, encoderSeq]: 0 for padding.</param>
    /// <param name="seqLen">The number of tokens of this pass.</param>
    /// <returns>[batch, 1, seq, encoderSeq]</returns>
    [Operation("create_bidirectional_mask")]
    public static Tensor Cross(Tensor encoderMask, long seqLen, ScalarType dtype)
    {
        using var scope = NewDisposeScope();
        (long batch, long encoderSeqLen) = (encoderMask.size(0), encoderMask.size(1));
        Tensor masked = (encoderMask == 0).unsqueeze(1).unsqueeze(1);                                       // [batch, 1, 1, encoderSeq]
        Tensor mask = zeros([batch, 1, seqLen, encoderSeqLen], dtype, encoderMask.device);                  // [batch, 1, seq, encoderSeq]
        return mask.masked_fill_(masked, MaskValue(dtype)).MoveToOuterDisposeScope();
    }

    /// <summary>The mask of tokens that see those near them, before and after.</summary>
    /// <remarks>create_bidirectional_sliding_window_mask in transformers/masking_utils.py</remarks>
    /// <param name="attentionMask">[batch, kvSeq]: 0 for padding.</param>
    /// <param name="distance">A token attends to the tokens that are at most this far from it.</param>
    /// <returns>[batch, 1, seq, kvSeq]</returns>
    [Operation("create_bidirectional_sliding_window_mask")]
    public static Tensor BidirectionalSliding(Tensor attentionMask, ScalarType dtype, int distance)
    {
        using var scope = NewDisposeScope();
        long seqLen = attentionMask.size(1);
        Tensor key = arange(seqLen, device: attentionMask.device);                                          // [kvSeq]
        Tensor query = arange(seqLen, device: attentionMask.device).unsqueeze(1);                           // [seq, 1]
        Tensor isFar = (key > query + distance) | (key < query - distance);                                 // [seq, kvSeq]
        Tensor masked = isFar | (attentionMask == 0).unsqueeze(1).unsqueeze(1);                             // [batch, 1, seq, kvSeq]
        return Fill(masked, attentionMask, dtype).MoveToOuterDisposeScope();
    }

    /// <param name="masked">[batch, 1, seq, kvSeq]: whether a token may not attend.</param>
    /// <param name="attentionMask">[batch, kvSeq]</param>
    /// <returns>[batch, 1, seq, kvSeq]</returns>
    private static Tensor Fill(Tensor masked, Tensor attentionMask, ScalarType dtype)
    {
        (long batch, long seqLen) = (attentionMask.size(0), attentionMask.size(1));
        Tensor mask = zeros([batch, 1, seqLen, seqLen], dtype, attentionMask.device);                     // [batch, 1, seq, kvSeq]
        return mask.masked_fill_(masked, MaskValue(dtype));
    }

    /// <summary>The mask of a token that sees only the earlier tokens of its own chunk.</summary>
    /// <remarks>create_chunked_causal_mask in transformers/masking_utils.py; chunks are counted from the first token of a row.</remarks>
    /// <param name="attentionMask">[batch, kvSeq]: 0 for padding.</param>
    /// <param name="chunkSize">The tokens of a chunk.</param>
    /// <returns>[batch, 1, seq, kvSeq]</returns>
    [Operation("create_chunked_causal_mask")]
    public static Tensor Chunked(Tensor attentionMask, long seqLen, ScalarType dtype, int chunkSize)
    {
        using var scope = NewDisposeScope();
        Tensor causal = Causal(attentionMask, seqLen, dtype);                                               // [batch, 1, seq, kvSeq]
        long kvSeqLen = attentionMask.size(1);
        Tensor chunks = (attentionMask.cumsum(-1) - 1).div(chunkSize, RoundingMode.floor);                  // [batch, kvSeq]
        Tensor own = chunks.narrow(1, kvSeqLen - seqLen, seqLen).unsqueeze(1).unsqueeze(-1);                // [batch, 1, seq, 1]
        Tensor masked = own != chunks.unsqueeze(1).unsqueeze(1);                                            // [batch, 1, seq, kvSeq]
        return causal.masked_fill_(masked, MaskValue(dtype)).MoveToOuterDisposeScope();
    }

    /// <summary>
    /// Finite, so that a padding token, which may attend to nothing, gets equal probabilities and not NaN. In float16 half of the lowest
    /// value, because the sum with a score of -16 would be minus infinity.
    /// </summary>
    private static double MaskValue(ScalarType dtype) => dtype == ScalarType.Float16 ? finfo(dtype).min / 2 : finfo(dtype).min;
}
