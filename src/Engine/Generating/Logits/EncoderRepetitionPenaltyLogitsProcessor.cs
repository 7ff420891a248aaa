namespace Ndif.Engine.Generating.Logits;

/// <summary>Makes the tokens of the prompt more likely: the repetition penalty of the inverse value.</summary>
/// <param name="encoderTokens">The prompt of an encoder-decoder, which its encoder has; null for any other model.</param>
/// <remarks>EncoderRepetitionPenaltyLogitsProcessor</remarks>
internal sealed class EncoderRepetitionPenaltyLogitsProcessor(double penalty, long[]? encoderTokens) : ILogitsProcessor
{
    private readonly RepetitionPenaltyLogitsProcessor _inverse = new(1 / penalty);

    public void Apply(ReadOnlySpan<long> tokens, int promptLength, Span<float> scores) =>
        _inverse.Apply(encoderTokens ?? tokens[..promptLength], promptLength, scores);
}
