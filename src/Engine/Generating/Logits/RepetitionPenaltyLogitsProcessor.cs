namespace Ndif.Engine.Generating.Logits;

/// <summary>
/// Makes the tokens that the row already contains less likely: positive scores are divided by the penalty, negative ones multiplied.
/// </summary>
/// <remarks>RepetitionPenaltyLogitsProcessor; Keskar et al. 2019, section 4.1 (arXiv 1909.05858)</remarks>
internal sealed class RepetitionPenaltyLogitsProcessor(double penalty) : ILogitsProcessor
{
    public void Apply(ReadOnlySpan<long> tokens, int promptLength, Span<float> scores)
    {
        HashSet<long> seen = [];
        foreach (long token in tokens)
        {
            if (!seen.Add(token)) continue;
            ref float score = ref scores[(int)token];
            score = (float)(score < 0 ? score * penalty : score / penalty);
        }
    }
}
