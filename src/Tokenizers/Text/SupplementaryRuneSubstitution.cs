using System.Globalization;
using System.Text;

namespace Ndif.Tokenizers.Text;

/// <summary>
/// Replaces runes outside of the basic multilingual plane for regular expressions. .NET matches UTF-16 code units: <c>\p{L}</c> does
/// not match a supplementary letter, and <c>\p{N}{1,3}</c> counts a supplementary digit twice. Before matching, each such rune is
/// replaced by one rare char of the same Unicode category.
/// </summary>
internal static class SupplementaryRuneSubstitution
{
    /// <summary>Returns the text with one char per code point, and the position in the text of each char and of the end.</summary>
    public static (char[] Chars, int[] Positions) Substitute(ReadOnlySpan<char> text)
    {
        var chars = new List<char>(text.Length);
        var positions = new List<int>(text.Length + 1);
        int position = 0;
        foreach (var rune in text.EnumerateRunes())
        {
            chars.Add(rune.IsBmp ? (char)rune.Value : GetSubstitute(Rune.GetUnicodeCategory(rune)));
            positions.Add(position);
            position += rune.Utf16SequenceLength;
        }
        positions.Add(position);
        return ([.. chars], [.. positions]);
    }

    internal static char GetSubstitute(UnicodeCategory category) => category switch
    {
        UnicodeCategory.UppercaseLetter => '\uA640',
        UnicodeCategory.LowercaseLetter => '\uA641',
        UnicodeCategory.TitlecaseLetter => '\u1FBC',
        UnicodeCategory.ModifierLetter => '\uA67F',
        UnicodeCategory.OtherLetter => '\uA000',
        UnicodeCategory.NonSpacingMark => '\uA66F',
        UnicodeCategory.SpacingCombiningMark => '\uA823',
        UnicodeCategory.EnclosingMark => '\uA670',
        UnicodeCategory.DecimalDigitNumber => '\uA620',
        UnicodeCategory.LetterNumber => '\uA6E6',
        UnicodeCategory.OtherNumber => '\uA830',
        UnicodeCategory.Format => '\u206A',
        UnicodeCategory.PrivateUse => '\uE000',
        UnicodeCategory.ConnectorPunctuation => '\uFE33',
        UnicodeCategory.DashPunctuation => '\uFE58',
        UnicodeCategory.OpenPunctuation => '\uFE17',
        UnicodeCategory.ClosePunctuation => '\uFE18',
        UnicodeCategory.InitialQuotePunctuation => '\u2E02',
        UnicodeCategory.FinalQuotePunctuation => '\u2E03',
        UnicodeCategory.OtherPunctuation => '\uA60D',
        UnicodeCategory.MathSymbol => '\uFB29',
        UnicodeCategory.CurrencySymbol => '\uA838',
        UnicodeCategory.ModifierSymbol => '\uA700',
        UnicodeCategory.OtherSymbol => '\uA828',
        _ => '\u0378', // unassigned
    };
}
