namespace Ndif.Tokenizers.Text;

/// <summary>A text and the parts of it, in order, that the model will tokenize one by one; what no part covers is dropped.</summary>
internal readonly record struct PreTokenizedText(AlignedText Text, List<TextSpan> Spans)
{
    /// <summary>Splits each part by a pattern; empty parts vanish.</summary>
    public PreTokenizedText Split(IPattern pattern, SplitBehavior behavior, bool invert = false)
    {
        var spans = new List<TextSpan>(Spans.Count);
        var matches = new List<PatternMatch>();
        foreach (var word in Spans)
        {
            matches.Clear();
            pattern.FindMatches(Text.Chars[word.Start..word.End], matches);
            if (invert)
                for (int i = 0; i < matches.Count; i++)
                    matches[i] = matches[i] with { IsMatch = !matches[i].IsMatch };
            behavior.AppendParts(matches, word.Start, spans);
        }
        return new PreTokenizedText(Text, spans);
    }
}
