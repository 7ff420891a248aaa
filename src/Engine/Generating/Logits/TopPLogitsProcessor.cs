namespace Ndif.Engine.Generating.Logits;

/// <summary>Keeps the most likely tokens whose probabilities sum to p: the nucleus.</summary>
/// <remarks>
/// TopPLogitsWarper, which removes the least likely tokens while their probabilities sum to at most 1 - p; Holtzman et al. 2019
/// (arXiv 1904.09751)
/// </remarks>
internal sealed class TopPLogitsProcessor(double p, int minTokensToKeep) : ILogitsProcessor
{
    public void Apply(ReadOnlySpan<long> tokens, int promptLength, Span<float> scores)
    {
        int[] order = ScoreRanking.SortDescending(scores);
        double[] probabilities = ScoreRanking.Softmax(scores, order);
        double removed = 0;
        for (int i = order.Length - 1; i >= minTokensToKeep; i--)
        {
            removed += probabilities[i];
            if (removed > 1 - p) return;
            scores[order[i]] = float.NegativeInfinity;
        }
    }
}
