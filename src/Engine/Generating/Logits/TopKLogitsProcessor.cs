namespace Ndif.Engine.Generating.Logits;

/// <summary>Keeps the k most likely tokens, and those that are as likely as the last of them.</summary>
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
