namespace Ndif.Tokenizers.Text;

/// <summary>Matches a literal string.</summary>
internal sealed class LiteralPattern(string literal) : IPattern
{
    public void FindMatches(ReadOnlySpan<char> text, List<PatternMatch> matches)
    {
        int previousEnd = 0;
        while (text[previousEnd..].IndexOf(literal, StringComparison.Ordinal) is >= 0 and int distance)
        {
            int start = previousEnd + distance;
            if (previousEnd < start) matches.Add(new PatternMatch(previousEnd, start, false));
            previousEnd = start + literal.Length;
            matches.Add(new PatternMatch(start, previousEnd, true));
        }
        if (previousEnd < text.Length) matches.Add(new PatternMatch(previousEnd, text.Length, false));
    }
}
