namespace Ndif.Engine.Generating.Logits;

/// <summary>Leaves only these tokens when the row has a length: the first or the last step of a generation.</summary>
/// <param name="forcedLength">The number of tokens of the row, prompt included, for a number of tokens of the prompt.</param>
/// <remarks>ForcedBOSTokenLogitsProcessor, ForcedEOSTokenLogitsProcessor</remarks>
internal sealed class ForcedTokenLogitsProcessor(IReadOnlyList<long> forced, Func<int, int> forcedLength) : ILogitsProcessor
{
    public void Apply(ReadOnlySpan<long> tokens, int promptLength, Span<float> scores)
    {
        if (tokens.Length != forcedLength(promptLength)) return;
        scores.Fill(float.NegativeInfinity);
        foreach (long token in forced) scores[(int)token] = 0;
    }
}
