namespace Ndif.Engine.Generating.Scores;

/// <summary>The most likely tokens that together have a probability of p: the nucleus.</summary>
/// <remarks>TopPLogitsWarper, which removes from below as long as what is removed has at most 1 - p; Holtzman et al. 2019 (arXiv 1904.09751)</remarks>
internal sealed class TopP(double p, int least) : IScoreRule
{
    public void Apply(ReadOnlySpan<long> tokens, int prompt, Span<float> scores)
    {
        int[] order = Ranking.Descending(scores);
        double[] probabilities = Ranking.Softmax(scores, order);
        double removed = 0;
        for (int i = order.Length - 1; i >= least; i--)
        {
            removed += probabilities[i];
            if (removed > 1 - p) return;
            scores[order[i]] = float.NegativeInfinity;
        }
    }
}
