namespace Ndif.Tokenizers.Text;

/// <summary>Matches a string as it is.</summary>
internal sealed class LiteralPattern(string literal) : IPattern
{
    public void FindMatches(ReadOnlySpan<char> text, List<PatternMatch> matches)
    {
        int at = 0;
        while (text[at..].IndexOf(literal, StringComparison.Ordinal) is >= 0 and int distance)
        {
            int start = at + distance;
            if (at < start) matches.Add(new PatternMatch(at, start, false));
            at = start + literal.Length;
            matches.Add(new PatternMatch(start, at, true));
        }
        if (at < text.Length) matches.Add(new PatternMatch(at, text.Length, false));
    }
}
