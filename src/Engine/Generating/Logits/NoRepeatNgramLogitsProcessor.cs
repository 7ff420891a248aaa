namespace Ndif.Engine.Generating.Logits;

/// <summary>
/// Excludes the tokens that would complete an n-gram which the row, including its prompt, already contains, or which its prompt contains.
/// </summary>
/// <param name="ofPrompt">Whether only the n-grams of the prompt are excluded.</param>
/// <param name="encoderTokens">The prompt of an encoder-decoder, which its encoder has; null for any other model.</param>
/// <remarks>NoRepeatNGramLogitsProcessor, EncoderNoRepeatNGramLogitsProcessor</remarks>
internal sealed class NoRepeatNgramLogitsProcessor(int ngramSize, bool ofPrompt = false, long[]? encoderTokens = null) : ILogitsProcessor
{
    public void Apply(ReadOnlySpan<long> tokens, int promptLength, Span<float> scores)
    {
        if (tokens.Length + 1 < ngramSize) return;
        ReadOnlySpan<long> last = tokens[(tokens.Length - ngramSize + 1)..], source =
            !ofPrompt ? tokens : encoderTokens ?? tokens[..promptLength];
        for (int start = 0; start + ngramSize <= source.Length; start++)
            if (source.Slice(start, ngramSize - 1).SequenceEqual(last)) scores[(int)source[start + ngramSize - 1]] = float.NegativeInfinity;
    }
}
