namespace Ndif.Engine.Generating.Logits;

/// <summary>Keeps the tokens whose probability is at least a fraction of the most likely token's.</summary>
/// <remarks>MinPLogitsWarper; Nguyen et al. 2024 (arXiv 2407.01082)</remarks>
internal sealed class MinPLogitsProcessor(double p, int minTokensToKeep) : ILogitsProcessor
{
    public void Apply(ReadOnlySpan<long> tokens, int promptLength, Span<float> scores)
    {
        int[] order = ScoreRanking.SortDescending(scores);
        double[] probabilities = ScoreRanking.Softmax(scores, order);
        for (int i = minTokensToKeep; i < order.Length; i++)
            if (probabilities[i] < p * probabilities[0]) scores[order[i]] = float.NegativeInfinity;
    }
}
