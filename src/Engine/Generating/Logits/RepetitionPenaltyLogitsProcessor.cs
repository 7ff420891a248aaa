namespace Ndif.Engine.Generating.Logits;

/// <summary>Makes every token that the row has already less likely: positive scores are divided by the penalty, negative ones multiplied.</summary>
/// <remarks>RepetitionPenaltyLogitsProcessor; Keskar et al. 2019, section 4.1 (arXiv 1909.05858)</remarks>
internal sealed class RepetitionPenaltyLogitsProcessor(double penalty) : ILogitsProcessor
{
    public void Apply(ReadOnlySpan<long> tokens, int promptLength, Span<float> scores)
    {
        HashSet<long> seen = [];
        foreach (long token in tokens)
            if (seen.Add(token)) scores[(int)token] = (float)(scores[(int)token] < 0 ? scores[(int)token] * penalty : scores[(int)token] / penalty);
    }
}
