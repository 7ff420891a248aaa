namespace Ndif.Engine.Generating.Logits;

/// <summary>
/// Keeps the tokens whose probability reaches a bound: epsilon, or for eta sampling the smaller of epsilon and sqrt(epsilon) * e^-entropy.
/// </summary>
/// <param name="isEta">Whether the bound depends on the entropy.</param>
/// <remarks>EpsilonLogitsWarper, EtaLogitsWarper; Hewitt et al. 2022 (arXiv 2210.15191)</remarks>
internal sealed class ProbabilityCutoffLogitsProcessor(double epsilon, bool isEta, int minTokensToKeep) : ILogitsProcessor
{
    public void Apply(ReadOnlySpan<long> tokens, int promptLength, Span<float> scores)
    {
        int[] order = ScoreRanking.SortDescending(scores);
        if (order.Length == 0) return;
        double[] probabilities = ScoreRanking.Softmax(scores, order);
        double bound = epsilon;
        if (isEta)
        {
            double entropy = -probabilities.Sum(q => q > 0 ? q * Math.Log(q) : 0);
            bound = Math.Min(epsilon, Math.Sqrt(epsilon) * Math.Exp(-entropy));
        }
        // tokens that are as likely as the last of those that are always kept stay, too
        float last = scores[order[Math.Min(minTokensToKeep, order.Length) - 1]];
        for (int i = minTokensToKeep; i < order.Length; i++)
            if (probabilities[i] < bound && scores[order[i]] < last) scores[order[i]] = float.NegativeInfinity;
    }
}
