namespace Ndif.Tokenizers.Text;

/// <summary>A text and the spans of it that the model tokenizes one at a time. Text outside of the spans is dropped.</summary>
/// <param name="Text">The normalized text.</param>
/// <param name="Spans">The words of the text, in order; none is empty.</param>
/// <remarks>huggingface/tokenizers, tokenizers/src/tokenizer/pre_tokenizer.rs, PreTokenizedString</remarks>
internal readonly record struct PreTokenizedText(AlignedText Text, List<TextSpan> Spans)
{
    /// <summary>Splits each span by a pattern and removes empty spans.</summary>
    /// <param name="pattern">The pattern to split by.</param>
    /// <param name="behavior">What happens to the text that the pattern matches.</param>
    /// <param name="invert">True to treat the text between the matches as the delimiter.</param>
    public PreTokenizedText Split(IPattern pattern, SplitBehavior behavior, bool invert = false)
    {
        var spans = new List<TextSpan>(Spans.Count);
        var matches = new List<PatternMatch>();
        foreach (var span in Spans)
        {
            matches.Clear();
            pattern.FindMatches(Text.Chars[span.Start..span.End], matches);
            if (invert)
                for (int i = 0; i < matches.Count; i++)
                    matches[i] = matches[i] with { IsMatch = !matches[i].IsMatch };
            behavior.AppendSpans(matches, span.Start, spans);
        }
        return new PreTokenizedText(Text, spans);
    }
}
