namespace Ndif.Engine.Generating.Logits;

/// <summary>Excludes the tokens that would complete an n-gram which the row, including its prompt, already contains.</summary>
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
