namespace Ndif.Engine.Generating.Logits;

/// <summary>
/// Keeps the most likely tokens as long as their part of the entropy of the 100 most likely ones is at most h, and always the first.
/// </summary>
/// <remarks>TopHLogitsWarper</remarks>
internal sealed class TopHLogitsProcessor(double h) : ILogitsProcessor
{
    private const int MaxTokens = 100;

    public void Apply(ReadOnlySpan<long> tokens, int promptLength, Span<float> scores)
    {
        int[] order = ScoreRanking.SortDescending(scores);
        int[] candidates = order.Length > MaxTokens ? order[..MaxTokens] : order;
        double[] terms = Array.ConvertAll(ScoreRanking.Softmax(scores, candidates), q => q > 0 ? -q * Math.Log(q) : 0);
        double bound = terms.Sum() * h, sum = 0;
        for (int i = 0; i < order.Length; i++)
        {
            sum = i < candidates.Length ? sum + terms[i] : double.PositiveInfinity;
            if (i > 0 && sum > bound) scores[order[i]] = float.NegativeInfinity;
        }
    }
}
