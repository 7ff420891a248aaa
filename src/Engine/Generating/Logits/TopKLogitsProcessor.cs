namespace Ndif.Engine.Generating.Logits;

/// <summary>Only the so many most likely tokens; those that are as likely as the last of them too.</summary>
/// <remarks>TopKLogitsWarper</remarks>
internal sealed class TopKLogitsProcessor(int topK) : ILogitsProcessor
{
    public void Apply(ReadOnlySpan<long> tokens, int promptLength, Span<float> scores)
    {
        if (topK >= scores.Length) return;
        float last = TopKSelector.Select(scores, topK)[^1].Score;
        for (int i = 0; i < scores.Length; i++)
            if (scores[i] < last) scores[i] = float.NegativeInfinity;
    }
}
