namespace Ndif.Engine.Generating.Scores;

/// <summary>No run of so many tokens occurs twice in a row, its prompt included: what would complete one cannot be chosen.</summary>
/// <remarks>NoRepeatNGramLogitsProcessor</remarks>
internal sealed class NoRepeatNgram(int length) : IScoreRule
{
    public void Apply(ReadOnlySpan<long> tokens, int prompt, Span<float> scores)
    {
        if (tokens.Length + 1 < length) return;
        ReadOnlySpan<long> last = tokens[(tokens.Length - length + 1)..];
        for (int start = 0; start + length <= tokens.Length; start++)
            if (tokens.Slice(start, length - 1).SequenceEqual(last)) scores[(int)tokens[start + length - 1]] = float.NegativeInfinity;
    }
}
