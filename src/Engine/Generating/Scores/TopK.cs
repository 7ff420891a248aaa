namespace Ndif.Engine.Generating.Scores;

/// <summary>Only the so many most likely tokens; those that are as likely as the last of them too.</summary>
/// <remarks>TopKLogitsWarper</remarks>
internal sealed class TopK(int count) : IScoreRule
{
    public void Apply(ReadOnlySpan<long> tokens, int prompt, Span<float> scores)
    {
        if (count >= scores.Length) return;
        float last = Largest.Of(scores, count)[^1].Score;
        for (int i = 0; i < scores.Length; i++)
            if (scores[i] < last) scores[i] = float.NegativeInfinity;
    }
}
