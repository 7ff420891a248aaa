namespace Ndif.Engine.Generating.Logits;

/// <summary>Raises the scores of the end-of-sequence tokens more in each step, after a number of new tokens.</summary>
/// <remarks>
/// ExponentialDecayLengthPenalty. A token that is excluded stays excluded; in Hugging Face its score becomes NaN.
/// </remarks>
internal sealed class ExponentialDecayLengthPenaltyLogitsProcessor(
    int start, double factor, IReadOnlyList<long> eosTokenIds) : ILogitsProcessor
{
    /// <summary>Each once: a token that is listed twice is raised once.</summary>
    private readonly long[] _eosTokenIds = [.. eosTokenIds.Distinct()];

    public void Apply(ReadOnlySpan<long> tokens, int promptLength, Span<float> scores)
    {
        int steps = tokens.Length - promptLength - start;
        if (steps <= 0) return;
        float growth = (float)(Math.Pow(factor, steps) - 1);
        foreach (long end in _eosTokenIds)
        {
            if (end >= scores.Length || float.IsNegativeInfinity(scores[(int)end])) continue;
            ref float score = ref scores[(int)end];
            score += Math.Abs(score) * growth;
        }
    }
}
