namespace Ndif.Engine.Generating.Logits;

/// <summary>Makes the tokens of the prompt more likely: the repetition penalty of the inverse value.</summary>
/// <remarks>EncoderRepetitionPenaltyLogitsProcessor</remarks>
internal sealed class EncoderRepetitionPenaltyLogitsProcessor(double penalty) : ILogitsProcessor
{
    private readonly RepetitionPenaltyLogitsProcessor _inverse = new(1 / penalty);

    public void Apply(ReadOnlySpan<long> tokens, int promptLength, Span<float> scores) =>
        _inverse.Apply(tokens[..promptLength], promptLength, scores);
}
