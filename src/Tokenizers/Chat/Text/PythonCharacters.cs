using System.Globalization;
using System.Text;

namespace Ndif.Tokenizers.Chat.Text;

/// <summary>Python's classes of characters.</summary>
internal static class PythonCharacters
{
    /// <summary>
    /// The ideographs that are numbers (unicode.org/reports/tr38, kPrimaryNumeric and others), which .NET gives no value.
    /// </summary>
    private static readonly HashSet<Rune> _ideographicNumbers =
    [
        .. ("㐅㒃㠪㭍一七万三九二五亖亿什仟仨伍佰億兆兩八六十千卄卅卌叁参參叄四壱壹幺廾" +
            "廿弌弍弎弐拾捌柒漆玖百肆萬貮貳贰阡陆陌陸零𠀁𠁤𠃢𠄡𠤪𠦃𠦌𠦜𠫪𠫽𠬙𢎐𢦘𣬛𦉭廾").EnumerateRunes(),
    ];

    /// <summary>str.isspace() of one character: white space of Unicode and the separators of ASCII.</summary>
    public static bool IsSpace(char c) => char.IsWhiteSpace(c) || c is >= '\u001c' and <= '\u001f';

    /// <summary>The position after the last character that is no white space.</summary>
    public static int TrimEnd(string text)
    {
        int end = text.Length;
        while (end > 0 && IsSpace(text[end - 1])) end--;
        return end;
    }

    public static bool IsAlpha(Rune rune) => Rune.IsLetter(rune);

    public static bool IsDecimal(Rune rune) => Rune.GetUnicodeCategory(rune) == UnicodeCategory.DecimalDigitNumber;

    /// <summary>str.isdigit(): decimal digits, and digits such as superscripts.</summary>
    public static bool IsDigit(Rune rune) => IsDecimal(rune) || (rune.IsBmp && CharUnicodeInfo.GetDigitValue((char)rune.Value) >= 0);

    public static bool IsNumeric(Rune rune) => Rune.GetNumericValue(rune) != -1 || _ideographicNumbers.Contains(rune);

    public static bool IsAlphanumeric(Rune rune) => IsAlpha(rune) || IsDecimal(rune) || IsDigit(rune) || IsNumeric(rune);

    /// <summary>A character that repr() writes as it is.</summary>
    public static bool IsPrintable(Rune rune) => rune.Value == ' ' || Rune.GetUnicodeCategory(rune) is not (UnicodeCategory.Control
        or UnicodeCategory.Format or UnicodeCategory.Surrogate or UnicodeCategory.PrivateUse or UnicodeCategory.OtherNotAssigned
        or UnicodeCategory.LineSeparator or UnicodeCategory.ParagraphSeparator or UnicodeCategory.SpaceSeparator);

    /// <summary>A character of a word: \w of the module re.</summary>
    public static bool IsWord(Rune rune) => rune.Value == '_' || IsAlphanumeric(rune);

    public static bool IsUpper(Rune rune) => Rune.GetUnicodeCategory(rune) == UnicodeCategory.UppercaseLetter || IsOther(rune, upper: true);

    public static bool IsLower(Rune rune) => Rune.GetUnicodeCategory(rune) == UnicodeCategory.LowercaseLetter
        || IsOther(rune, upper: false);

    public static bool IsTitle(Rune rune) => Rune.GetUnicodeCategory(rune) == UnicodeCategory.TitlecaseLetter;

    /// <summary>A character that has a case.</summary>
    public static bool IsCased(Rune rune) => IsUpper(rune) || IsLower(rune) || IsTitle(rune);

    /// <summary>The ends of lines of str.splitlines(). \r\n is one end.</summary>
    public static bool IsLineEnd(char c) => c is '\n' or '\r' or '\v' or '\f' or '\u001c' or '\u001d' or '\u001e' or '\u0085' or '\u2028'
        or '\u2029';

    /// <summary>The properties Other_Uppercase and Other_Lowercase of Unicode.</summary>
    private static bool IsOther(Rune rune, bool upper) => upper
        ? rune.Value is (>= 0x2160 and <= 0x216f) or (>= 0x24b6 and <= 0x24cf) or (>= 0x1f130 and <= 0x1f149) or (>= 0x1f150 and <= 0x1f169)
            or (>= 0x1f170 and <= 0x1f189)
        : rune.Value is 0xaa or 0xba or (>= 0x2b0 and <= 0x2b8) or 0x2c0 or 0x2c1 or (>= 0x2e0 and <= 0x2e4) or 0x345 or 0x37a
            or (>= 0x1d2c and <= 0x1d6a) or 0x1d78 or (>= 0x1d9b and <= 0x1dbf) or 0x2071 or 0x207f or (>= 0x2090 and <= 0x209c)
            or (>= 0x2170 and <= 0x217f) or (>= 0x24d0 and <= 0x24e9) or 0x2c7c or 0x2c7d or 0xa69c or 0xa69d or 0xa770 or 0xa7f8 or 0xa7f9
            or (>= 0xab5c and <= 0xab5f);
}
