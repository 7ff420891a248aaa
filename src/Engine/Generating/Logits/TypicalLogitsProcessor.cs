namespace Ndif.Engine.Generating.Logits;

/// <summary>
/// Keeps the tokens whose information content is closest to the entropy of the distribution, until their probabilities sum to p.
/// </summary>
/// <remarks>TypicalLogitsWarper; Meister et al. 2022 (arXiv 2202.00666)</remarks>
internal sealed class TypicalLogitsProcessor(double p, int minTokensToKeep) : ILogitsProcessor
{
    public void Apply(ReadOnlySpan<long> tokens, int promptLength, Span<float> scores)
    {
        int[] order = ScoreRanking.SortDescending(scores);
        if (order.Length == 0) return;
        double[] probabilities = ScoreRanking.Softmax(scores, order);
        double entropy = -probabilities.Sum(q => q > 0 ? q * Math.Log(q) : 0);
        double[] distance = Array.ConvertAll(probabilities, q => Math.Abs(-Math.Log(q) - entropy));
        int[] nearest = [.. Enumerable.Range(0, order.Length)];
        Array.Sort((double[])distance.Clone(), nearest);
        int last = 0;
        for (double mass = probabilities[nearest[0]]; mass < p && last < nearest.Length - 1; mass += probabilities[nearest[last]]) last++;
        double farthest = distance[nearest[last]];
        for (int i = minTokensToKeep; i < nearest.Length; i++)
            if (distance[nearest[i]] > farthest) scores[order[nearest[i]]] = float.NegativeInfinity;
    }
}
