using System.Text;

namespace Ndif.Tokenizers.Text;

/// <summary>Matches each rune for which a predicate is true.</summary>
internal sealed class RunePattern(Func<Rune, bool> isMember) : IPattern
{
    public void FindMatches(ReadOnlySpan<char> text, List<PatternMatch> matches)
    {
        int previousEnd = 0, start = 0;
        foreach (var rune in text.EnumerateRunes())
        {
            int end = start + rune.Utf16SequenceLength;
            if (isMember(rune))
            {
                if (previousEnd < start) matches.Add(new PatternMatch(previousEnd, start, false));
                matches.Add(new PatternMatch(start, end, true));
                previousEnd = end;
            }
            start = end;
        }
        if (previousEnd < text.Length) matches.Add(new PatternMatch(previousEnd, text.Length, false));
    }
}
