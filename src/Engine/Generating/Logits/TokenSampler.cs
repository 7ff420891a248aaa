using System.Numerics.Tensors;
using Ndif.Protocol;

namespace Ndif.Engine.Generating.Logits;

/// <summary>Chooses a token by its score.</summary>
internal static class TokenSampler
{
    /// <summary>The most likely token; of equally likely ones the first.</summary>
    /// <exception cref="NdifException">OP_FAILED: every token is excluded, or the scores are not numbers.</exception>
    public static int ArgMax(ReadOnlySpan<float> scores)
    {
        MaxScore(scores);
        return TensorPrimitives.IndexOfMax(scores);
    }

    /// <summary>
    /// Draws a token by the inverse of the cumulative distribution: the first token at which the sum of the probabilities, in float64 and
    /// in the order of the token ids, exceeds <paramref name="uniform"/>.
    /// </summary>
    /// <param name="uniform">From 0 to below 1.</param>
    /// <exception cref="NdifException">OP_FAILED: every token is excluded, or the scores are not numbers.</exception>
    public static int Sample(ReadOnlySpan<float> scores, double uniform)
    {
        double max = MaxScore(scores), sum = 0;
        foreach (float score in scores)
            if (score > float.NegativeInfinity) sum += Math.Exp(score - max);
        double target = uniform * sum, cumulative = 0;
        int last = 0;
        for (int i = 0; i < scores.Length; i++)
        {
            if (scores[i] == float.NegativeInfinity) continue;
            cumulative += Math.Exp(scores[i] - max);
            last = i;
            if (cumulative > target) return i;
        }
        return last; // the sum can stay below the target because of rounding
    }

    /// <summary>The largest score.</summary>
    /// <exception cref="NdifException">OP_FAILED: every token is excluded, or the scores are not numbers.</exception>
    public static float MaxScore(ReadOnlySpan<float> scores)
    {
        float max = TensorPrimitives.Max(scores);
        if (float.IsFinite(max)) return max;
        throw Errors.CreateException(ErrorCode.OpFailed, float.IsNegativeInfinity(max)
                ? "No token is left to choose from: the generation's options, or what the program wrote into the logits, exclude every one."
                : $"The model's scores of the next token are {(float.IsNaN(max) ? "not numbers" : "infinite")}.",
            float.IsNegativeInfinity(max)
                ? "Exclude less (no_repeat_ngram_size, bad_words_ids, suppress_tokens, -inf), and do not suppress a forced token."
                : "A value that the program put into the model may be too large, or NaN.");
    }
}
