using Ndif.Models.ForwardSource;
using static TorchSharp.torch;

namespace Ndif.Models.Layers;

/// <summary>Attention without a fused kernel, so that its scores and probabilities can be read and replaced.</summary>
/// <remarks>eager_attention_forward in transformers/models/llama/modeling_llama.py and its relatives</remarks>
public static partial class EagerAttention
{
    /// <summary>
    /// softmax(q kᵀ · scale + mask) v. Each key and value head serves heads / kvHeads query heads and is not repeated in memory.
    /// </summary>
    /// <param name="query">[batch, heads, seq, headDim]</param>
    /// <param name="key">[batch, kvHeads, kvSeq, headDim]</param>
    /// <param name="value">[batch, kvHeads, kvSeq, headDim]</param>
    /// <param name="mask">[batch, 1, seq, kvSeq], added to the scores</param>
    /// <param name="cap">The soft cap: scores become cap · tanh(scores / cap).</param>
    /// <param name="precise">Whether scores are computed in float32 for any dtype.</param>
    /// <returns>The output [batch, seq, heads, headDim] and the probabilities [batch, heads, seq, kvSeq].</returns>
    [Operation("attention_interface")]
    public static (Tensor Output, Tensor Probabilities) Forward(Tensor query, Tensor key, Tensor value, Tensor? mask, double scale,
        double? cap = null, bool precise = false)
    {
        query = SourceLabel.Of("q", query);
        key = SourceLabel.Of("k", key);
        value = SourceLabel.Of("v", value);
        Tensor scores = Scores(query, key, precise) * scale;                                            // [batch, heads, seq, kvSeq]
        if (cap is { } limit) scores = (scores / limit).tanh() * limit;
        if (mask is not null) scores = scores + mask;
        scores = SourceLabel.Of("scores", scores);
        Tensor probabilities = nn.functional.softmax(scores, -1, ScalarType.Float32).to(query.dtype);   // [batch, heads, seq, kvSeq]
        probabilities = SourceLabel.Of("probs", probabilities);
        Tensor output = Mix(probabilities, value).transpose(1, 2).contiguous();                         // [batch, seq, heads, headDim]
        return (output, probabilities);
    }

    /// <summary>q kᵀ</summary>
    /// <param name="query">[batch, heads, seq, headDim]</param>
    /// <param name="key">[batch, kvHeads, kvSeq, headDim]</param>
    /// <param name="precise">Whether to compute in float32 for any dtype.</param>
    /// <returns>[batch, heads, seq, kvSeq]</returns>
    public static Tensor Scores(Tensor query, Tensor key, bool precise = false)
    {
        if (precise) (query, key) = (query.to(ScalarType.Float32), key.to(ScalarType.Float32));
        (long batch, long heads, long seqLen, long headDim) = (query.size(0), query.size(1), query.size(2), query.size(3));
        (long kvHeads, long kvSeqLen) = (key.size(1), key.size(2));
        Tensor q = query.reshape(batch * kvHeads, heads / kvHeads * seqLen, headDim); // [batch·kvHeads, heads/kvHeads·seq, headDim]
        Tensor k = key.reshape(batch * kvHeads, kvSeqLen, headDim);                   // [batch·kvHeads, kvSeq, headDim]
        // matmul calls bmm too, but its native entry point ends the process on shapes that do not fit (dotnet/TorchSharp)
        return bmm(q, k.transpose(1, 2)).view(batch, heads, seqLen, kvSeqLen);
    }

    /// <summary>p v</summary>
    /// <param name="probabilities">[batch, heads, seq, kvSeq]</param>
    /// <param name="value">[batch, kvHeads, kvSeq, headDim]</param>
    /// <returns>[batch, heads, seq, headDim]</returns>
    public static Tensor Mix(Tensor probabilities, Tensor value)
    {
        (long batch, long heads, long seqLen, long kvSeqLen) =
            (probabilities.size(0), probabilities.size(1), probabilities.size(2), probabilities.size(3));
        (long kvHeads, long headDim) = (value.size(1), value.size(3));
        Tensor p = probabilities.reshape(batch * kvHeads, heads / kvHeads * seqLen, kvSeqLen); // [batch·kvHeads, heads/kvHeads·seq, kvSeq]
        Tensor v = value.reshape(batch * kvHeads, kvSeqLen, headDim);                          // [batch·kvHeads, kvSeq, headDim]
        Tensor mixed = bmm(p, v).view(batch, heads, seqLen, headDim);                          // [batch, heads, seq, headDim]
        return SourceLabel.Of("z", mixed);
    }

    /// <summary>Gives heads a dimension of their own, before the tokens.</summary>
    /// <param name="hidden">[batch, seq, heads · headDim]</param>
    /// <returns>[batch, heads, seq, headDim]</returns>
    public static Tensor SplitHeads(Tensor hidden, int heads, int headDim)
    {
        Tensor split = hidden.view(hidden.size(0), hidden.size(1), heads, headDim);       // [batch, seq, heads, headDim]
        return split.transpose(1, 2);
    }

    /// <summary>The same for the keys or values of tokens that are not those of this pass.</summary>
    /// <param name="projected">[batch, kvSeq, heads · headDim]</param>
    /// <returns>[batch, heads, kvSeq, headDim]</returns>
    public static Tensor SplitKeyHeads(Tensor projected, int heads, int headDim)
    {
        Tensor split = projected.view(projected.size(0), projected.size(1), heads, headDim);  // [batch, kvSeq, heads, headDim]
        return split.transpose(1, 2);
    }
}
