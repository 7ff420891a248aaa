using System.Numerics.Tensors;
using Ndif.Protocol;

namespace Ndif.Engine.Generating.Logits;

/// <summary>From scores to a token.</summary>
internal static class TokenSampler
{
    /// <summary>The likeliest token; of equally likely ones the first.</summary>
    /// <exception cref="NdifException">OP_FAILED: no token is left, or the scores are not numbers.</exception>
    public static int ArgMax(ReadOnlySpan<float> scores)
    {
        MaxScore(scores);
        return TensorPrimitives.IndexOfMax(scores);
    }

    /// <summary>
    /// Draws a token by the inverse of the cumulative distribution: the first one at which the probabilities, added up in float64 in
    /// the order of the tokens' ids, exceed <paramref name="uniform"/>.
    /// </summary>
    /// <param name="uniform">From 0 to below 1.</param>
    /// <exception cref="NdifException">OP_FAILED: no token is left, or the scores are not numbers.</exception>
    public static int Sample(ReadOnlySpan<float> scores, double uniform)
    {
        double most = MaxScore(scores), sum = 0;
        foreach (float score in scores)
            if (score > float.NegativeInfinity) sum += Math.Exp(score - most);
        double target = uniform * sum, reached = 0;
        int last = 0;
        for (int i = 0; i < scores.Length; i++)
        {
            if (scores[i] == float.NegativeInfinity) continue;
            reached += Math.Exp(scores[i] - most);
            last = i;
            if (reached > target) return i;
        }
        return last; // the sum, added up to its end, may miss itself by rounding
    }

    /// <summary>The largest score.</summary>
    /// <exception cref="NdifException">OP_FAILED: there is none.</exception>
    public static float MaxScore(ReadOnlySpan<float> scores)
    {
        float most = TensorPrimitives.Max(scores);
        if (float.IsFinite(most)) return most;
        throw Errors.CreateException(ErrorCode.OpFailed, float.IsNegativeInfinity(most)
                ? "No token is left to choose from: the generation's options exclude every one."
                : $"The model's scores of the next token are {(float.IsNaN(most) ? "not numbers" : "infinite")}.",
            float.IsNegativeInfinity(most) ? "Exclude less: no_repeat_ngram." : "A value that the program put into the model may be too large, or NaN.");
    }
}
