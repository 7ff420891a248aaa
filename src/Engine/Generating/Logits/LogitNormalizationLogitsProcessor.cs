namespace Ndif.Engine.Generating.Logits;

/// <summary>Replaces the scores by the logarithms of their probabilities.</summary>
/// <remarks>LogitNormalization</remarks>
internal sealed class LogitNormalizationLogitsProcessor : ILogitsProcessor
{
    public void Apply(ReadOnlySpan<long> tokens, int promptLength, Span<float> scores) => ScoreRanking.LogSoftmax(scores);
}
