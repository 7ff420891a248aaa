namespace Ndif.Engine.Generating.Logits;

/// <summary>Excludes tokens.</summary>
/// <param name="beginLength">
/// The number of tokens of a row, prompt included, at which they are excluded; null excludes them in every step.
/// </param>
/// <remarks>SuppressTokensLogitsProcessor, SuppressTokensAtBeginLogitsProcessor</remarks>
internal sealed class SuppressTokensLogitsProcessor(IReadOnlyList<long> suppressed, Func<int, int>? beginLength = null) : ILogitsProcessor
{
    public void Apply(ReadOnlySpan<long> tokens, int promptLength, Span<float> scores)
    {
        if (beginLength is not null && tokens.Length != beginLength(promptLength)) return;
        foreach (long token in suppressed)
            if (token < scores.Length) scores[(int)token] = float.NegativeInfinity;
    }
}
