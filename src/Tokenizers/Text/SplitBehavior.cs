namespace Ndif.Tokenizers.Text;

/// <summary>What becomes of the delimiter when a pattern splits a text (Hugging Face's SplitDelimiterBehavior).</summary>
internal enum SplitBehavior
{
    /// <summary><c>the-final--countdown</c>: the | final | countdown</summary>
    Removed,

    /// <summary>the | - | final | - | - | countdown</summary>
    Isolated,

    /// <summary>the- | final- | - | countdown</summary>
    MergedWithPrevious,

    /// <summary>the | -final | - | -countdown</summary>
    MergedWithNext,

    /// <summary>the | - | final | -- | countdown</summary>
    Contiguous,
}

internal static class SplitBehaviorExtensions
{
    /// <summary>Appends the parts, moved by <paramref name="offset"/>, that the matches leave.</summary>
    public static void AppendParts(this SplitBehavior behavior, List<PatternMatch> matches, int offset, List<TextSpan> spans)
    {
        int first = spans.Count;
        bool previous = false;
        if (behavior == SplitBehavior.MergedWithNext)
        {
            // the mirror image of MergedWithPrevious: from the end, each match takes what follows it
            for (int i = matches.Count - 1; i >= 0; i--)
            {
                var (start, end, isMatch) = matches[i];
                if (isMatch && !previous && spans.Count > first)
                    spans[^1] = spans[^1] with { Start = offset + start };
                else if (start < end)
                    spans.Add(new TextSpan(offset + start, offset + end));
                previous = isMatch;
            }
            spans.Reverse(first, spans.Count - first);
            return;
        }
        foreach (var (start, end, isMatch) in matches)
        {
            bool join = behavior switch
            {
                SplitBehavior.MergedWithPrevious => isMatch && !previous,
                SplitBehavior.Contiguous => isMatch == previous,
                _ => false,
            };
            previous = isMatch;
            if (isMatch && behavior == SplitBehavior.Removed) continue;
            if (join && spans.Count > first)
                spans[^1] = spans[^1] with { End = offset + end };
            else if (start < end)
                spans.Add(new TextSpan(offset + start, offset + end));
        }
    }
}
