using Ndif.Models.ForwardSource;
using static TorchSharp.torch;

namespace Ndif.Models.Layers;

/// <summary>Attention written out, because its scores and probabilities are what people come to see.</summary>
/// <remarks>eager_attention_forward in transformers/models/llama/modeling_llama.py and its relatives</remarks>
public static partial class EagerAttention
{
    /// <summary>
    /// softmax(q kᵀ · scale + mask) v. Each key and value head serves heads / key-value heads query heads, without being repeated in
    /// memory.
    /// </summary>
    /// <param name="query">[batch, heads, seq, headDim]</param>
    /// <param name="key">[batch, kvHeads, kvSeq, headDim]</param>
    /// <param name="value">[batch, kvHeads, kvSeq, headDim]</param>
    /// <param name="mask">[batch, 1, seq, kvSeq], added to the scores</param>
    /// <param name="cap">Scores are bent to stay between -cap and cap, if given.</param>
    /// <param name="precise">Scores are computed in float32 whatever the dtype.</param>
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
    /// <param name="precise">In float32 whatever the dtype.</param>
    /// <returns>[batch, heads, seq, kvSeq]</returns>
    public static Tensor Scores(Tensor query, Tensor key, bool precise = false)
    {
        if (precise) (query, key) = (query.to(ScalarType.Float32), key.to(ScalarType.Float32));
        (long rows, long heads, long tokens, long width) = (query.size(0), query.size(1), query.size(2), query.size(3));
        (long groups, long keys) = (key.size(1), key.size(2));
        Tensor q = query.reshape(rows * groups, heads / groups * tokens, width); // [batch·kvHeads, heads/kvHeads·seq, headDim]
        Tensor k = key.reshape(rows * groups, keys, width);                      // [batch·kvHeads, kvSeq, headDim]
        // bmm, as matmul does inside, because matmul's native entry point ends the process on shapes that do not fit (dotnet/TorchSharp)
        return bmm(q, k.transpose(1, 2)).view(rows, heads, tokens, keys);
    }

    /// <summary>p v</summary>
    /// <param name="probabilities">[batch, heads, seq, kvSeq]</param>
    /// <param name="value">[batch, kvHeads, kvSeq, headDim]</param>
    /// <returns>[batch, heads, seq, headDim]</returns>
    public static Tensor Mix(Tensor probabilities, Tensor value)
    {
        (long rows, long heads, long tokens, long keys) =
            (probabilities.size(0), probabilities.size(1), probabilities.size(2), probabilities.size(3));
        (long groups, long width) = (value.size(1), value.size(3));
        Tensor p = probabilities.reshape(rows * groups, heads / groups * tokens, keys); // [batch·kvHeads, heads/kvHeads·seq, kvSeq]
        Tensor v = value.reshape(rows * groups, keys, width);                           // [batch·kvHeads, kvSeq, headDim]
        Tensor mixed = bmm(p, v).view(rows, heads, tokens, width);                      // [batch, heads, seq, headDim]
        return SourceLabel.Of("z", mixed);
    }

    /// <summary>Each head by itself.</summary>
    /// <param name="hidden">[batch, seq, heads · hidden]</param>
    /// <returns>[batch, heads, seq, headDim]</returns>
    public static Tensor SplitHeads(Tensor hidden, int heads, int headDim)
    {
        Tensor split = hidden.view(hidden.size(0), hidden.size(1), heads, headDim);       // [batch, seq, heads, headDim]
        return split.transpose(1, 2);
    }
}
