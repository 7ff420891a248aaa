namespace Ndif.Engine.Generating.Logits;

/// <summary>No run of so many tokens occurs twice in a row, its prompt included: what would complete one cannot be chosen.</summary>
/// <remarks>NoRepeatNGramLogitsProcessor</remarks>
internal sealed class NoRepeatNgramLogitsProcessor(int ngramSize) : ILogitsProcessor
{
    public void Apply(ReadOnlySpan<long> tokens, int promptLength, Span<float> scores)
    {
        if (tokens.Length + 1 < ngramSize) return;
        ReadOnlySpan<long> last = tokens[(tokens.Length - ngramSize + 1)..];
        for (int start = 0; start + ngramSize <= tokens.Length; start++)
            if (tokens.Slice(start, ngramSize - 1).SequenceEqual(last)) scores[(int)tokens[start + ngramSize - 1]] = float.NegativeInfinity;
    }
}
