namespace Ndif.Engine.Generating.Scores;

/// <summary>Only tokens that have at least this part of the likeliest one's probability.</summary>
/// <remarks>MinPLogitsWarper; Nguyen et al. 2024 (arXiv 2407.01082)</remarks>
internal sealed class MinP(double p, int least) : IScoreRule
{
    public void Apply(ReadOnlySpan<long> tokens, int prompt, Span<float> scores)
    {
        int[] order = Ranking.Descending(scores);
        double[] probabilities = Ranking.Softmax(scores, order);
        for (int i = least; i < order.Length; i++)
            if (probabilities[i] < p * probabilities[0]) scores[order[i]] = float.NegativeInfinity;
    }
}
