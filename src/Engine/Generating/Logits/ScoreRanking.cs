namespace Ndif.Engine.Generating.Logits;

/// <summary>Sorts scores and converts them to probabilities. Of equal scores, the token with the lower id is first.</summary>
internal static class ScoreRanking
{
    /// <summary>The tokens that are not excluded, the most likely first.</summary>
    public static int[] SortDescending(ReadOnlySpan<float> scores)
    {
        int count = 0;
        for (int i = 0; i < scores.Length; i++)
            if (scores[i] > float.NegativeInfinity) count++;
        var keys = new (float Negative, int Id)[count];
        for (int i = 0, next = 0; i < scores.Length; i++)
            if (scores[i] > float.NegativeInfinity) keys[next++] = (-scores[i], i);
        Array.Sort(keys);
        return Array.ConvertAll(keys, k => k.Id);
    }

    /// <summary>The probabilities of these tokens, of which the first is the most likely.</summary>
    public static double[] Softmax(ReadOnlySpan<float> scores, int[] order)
    {
        if (order.Length == 0) return [];
        var probabilities = new double[order.Length];
        double sum = 0;
        for (int i = 0; i < order.Length; i++) sum += probabilities[i] = Math.Exp((double)scores[order[i]] - scores[order[0]]);
        for (int i = 0; i < order.Length; i++) probabilities[i] /= sum;
        return probabilities;
    }

    /// <summary>Replaces the scores by the logarithms of their probabilities.</summary>
    /// <exception cref="NdifException">OP_FAILED: every token is excluded, or the scores are not numbers.</exception>
    public static void LogSoftmax(Span<float> scores)
    {
        float max = TokenSampler.MaxScore(scores);
        double sum = 0;
        foreach (float score in scores) sum += Math.Exp((double)score - max);
        double log = max + Math.Log(sum);
        for (int i = 0; i < scores.Length; i++) scores[i] = (float)(scores[i] - log);
    }
}
