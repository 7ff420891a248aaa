using System.Text;

namespace Ndif.Tokenizers.Text;

/// <summary>Matches runs of word characters and runs of everything else but white space: <c>\w+|[^\w\s]+</c>.</summary>
internal sealed class WordPattern : IPattern
{
    public void FindMatches(ReadOnlySpan<char> text, List<PatternMatch> matches)
    {
        int start = 0, at = 0;
        int kind = -1;
        foreach (var rune in text.EnumerateRunes())
        {
            int next = RuneClass.IsWord(rune) ? 1 : RuneClass.IsWhiteSpace(rune) ? 0 : 2;
            if (next != kind && start < at)
            {
                matches.Add(new PatternMatch(start, at, kind != 0));
                start = at;
            }
            kind = next;
            at += rune.Utf16SequenceLength;
        }
        if (start < at) matches.Add(new PatternMatch(start, at, kind != 0));
    }
}
