namespace Ndif.Engine.Generating.Logits;

/// <summary>
/// Replaces scores that are not numbers by 0, and infinite ones by the largest and the smallest number. So it also lets in tokens that
/// earlier processors have excluded, though only where there is no other.
/// </summary>
/// <remarks>InfNanRemoveLogitsProcessor</remarks>
internal sealed class InfNanRemoveLogitsProcessor : ILogitsProcessor
{
    public void Apply(ReadOnlySpan<long> tokens, int promptLength, Span<float> scores)
    {
        foreach (ref float score in scores)
            score = float.IsNaN(score) ? 0 : Math.Clamp(score, float.MinValue, float.MaxValue);
    }
}
