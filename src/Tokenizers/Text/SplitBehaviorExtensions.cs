namespace Ndif.Tokenizers.Text;

internal static class SplitBehaviorExtensions
{
    /// <summary>Appends the spans into which the matches split a text.</summary>
    /// <param name="behavior">What happens to the matches, which are the delimiters.</param>
    /// <param name="matches">The matches and the ranges between them, relative to the start of the text.</param>
    /// <param name="offset">The start of the text; it is added to each span.</param>
    /// <param name="spans">The list to append to.</param>
    public static void AppendSpans(this SplitBehavior behavior, List<PatternMatch> matches, int offset, List<TextSpan> spans)
    {
        int first = spans.Count;
        bool previousIsMatch = false;
        if (behavior == SplitBehavior.MergedWithNext)
        {
            // The mirror image of MergedWithPrevious: going backward, each match is merged with the span after it.
            for (int i = matches.Count - 1; i >= 0; i--)
            {
                var (start, end, isMatch) = matches[i];
                if (isMatch && !previousIsMatch && spans.Count > first)
                    spans[^1] = spans[^1] with { Start = offset + start };
                else if (start < end)
                    spans.Add(new TextSpan(offset + start, offset + end));
                previousIsMatch = isMatch;
            }
            spans.Reverse(first, spans.Count - first);
            return;
        }
        foreach (var (start, end, isMatch) in matches)
        {
            bool isMerged = behavior switch
            {
                SplitBehavior.MergedWithPrevious => isMatch && !previousIsMatch,
                SplitBehavior.Contiguous => isMatch == previousIsMatch,
                _ => false,
            };
            previousIsMatch = isMatch;
            if (isMatch && behavior == SplitBehavior.Removed) continue;
            if (isMerged && spans.Count > first)
                spans[^1] = spans[^1] with { End = offset + end };
            else if (start < end)
                spans.Add(new TextSpan(offset + start, offset + end));
        }
    }
}
