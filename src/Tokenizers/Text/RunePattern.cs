using System.Text;

namespace Ndif.Tokenizers.Text;

/// <summary>Matches each single rune of a class.</summary>
internal sealed class RunePattern(Func<Rune, bool> isMember) : IPattern
{
    public void FindMatches(ReadOnlySpan<char> text, List<PatternMatch> matches)
    {
        int rest = 0, at = 0;
        foreach (var rune in text.EnumerateRunes())
        {
            int end = at + rune.Utf16SequenceLength;
            if (isMember(rune))
            {
                if (rest < at) matches.Add(new PatternMatch(rest, at, false));
                matches.Add(new PatternMatch(at, end, true));
                rest = end;
            }
            at = end;
        }
        if (rest < text.Length) matches.Add(new PatternMatch(rest, text.Length, false));
    }
}
