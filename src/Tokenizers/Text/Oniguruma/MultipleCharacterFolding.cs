using Ndif.Tokenizers.Unicode;

namespace Ndif.Tokenizers.Text.Oniguruma;

/// <summary>The letters that match a sequence of ASCII letters if case is ignored, such as ß and "ss".</summary>
/// <remarks>Unicode Character Database, CaseFolding.txt, status F</remarks>
internal static class MultipleCharacterFolding
{
    private static readonly (string Sequence, string Ligatures)[] _foldings =
    [
        ("ffi", "\uFB03"), ("ffl", "\uFB04"), ("ff", "\uFB00"), ("fi", "\uFB01"), ("fl", "\uFB02"), ("ss", "\u00DF\u1E9E"),
        ("st", "\uFB05\uFB06"),
    ];

    /// <summary>Reads the rest of a sequence, or recognizes a letter that stands for one.</summary>
    /// <param name="code">The code point that was read.</param>
    /// <param name="scanner">The scanner after the code point.</param>
    /// <returns>The sequence in .NET's syntax and the letters that match it, or null.</returns>
    public static (string Text, CharacterClass Ligatures)? TryRead(int code, PatternScanner scanner)
    {
        foreach (var (sequence, ligatures) in _foldings)
        {
            bool isLigature = code <= 0xFFFF && ligatures.Contains((char)code);
            if (!isLigature && !TrySkipRest(sequence, code, scanner)) continue;
            return (string.Concat(sequence.Select(Write)),
                new CharacterClass(CodePointSet.Of(ligatures.Select(letter => ((int)letter, (int)letter)))));
        }
        return null;
    }

    private static bool TrySkipRest(string sequence, int code, PatternScanner scanner)
    {
        if (code > 0x7F || char.ToLowerInvariant((char)code) != sequence[0]) return false;
        int start = scanner.Position;
        foreach (char c in sequence.AsSpan(1))
        {
            if (scanner.IsAtEnd || char.ToLowerInvariant(scanner.Current) != c)
            {
                scanner.Position = start;
                return false;
            }
            scanner.Position++;
        }
        // A quantifier repeats the last letter only.
        if (!scanner.IsAtEnd && scanner.Current is '*' or '+' or '?' or '{')
        {
            scanner.Position = start;
            return false;
        }
        return true;
    }

    private static string Write(char c) => c == 's' ? @"[sS\u017F]" : $"[{c}{char.ToUpperInvariant(c)}]";
}
