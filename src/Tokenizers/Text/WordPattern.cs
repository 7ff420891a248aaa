using System.Text;

namespace Ndif.Tokenizers.Text;

/// <summary>Matches <c>\w+|[^\w\s]+</c>: runs of word characters, and runs of characters that are neither word nor white space.</summary>
internal sealed class WordPattern : IPattern
{
    private enum RunKind { WhiteSpace, Word, Other }

    public void FindMatches(ReadOnlySpan<char> text, List<PatternMatch> matches)
    {
        int start = 0, end = 0;
        RunKind? kind = null;
        foreach (var rune in text.EnumerateRunes())
        {
            var runeKind = RuneClass.IsWord(rune) ? RunKind.Word : RuneClass.IsWhiteSpace(rune) ? RunKind.WhiteSpace : RunKind.Other;
            if (runeKind != kind && start < end)
            {
                matches.Add(new PatternMatch(start, end, kind != RunKind.WhiteSpace));
                start = end;
            }
            kind = runeKind;
            end += rune.Utf16SequenceLength;
        }
        if (start < end) matches.Add(new PatternMatch(start, end, kind != RunKind.WhiteSpace));
    }
}
