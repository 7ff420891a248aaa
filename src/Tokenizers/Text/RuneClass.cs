using System.Globalization;
using System.Text;

namespace Ndif.Tokenizers.Text;

/// <summary>
/// Classes of runes as Rust's standard library and its regex crate define them, because Hugging Face tokenizers use both.
/// </summary>
internal static class RuneClass
{
    public static bool IsWhiteSpace(Rune rune) => Rune.IsWhiteSpace(rune);

    /// <summary>Rust's char::is_numeric: the categories Nd, Nl and No.</summary>
    public static bool IsNumeric(Rune rune) => Rune.IsNumber(rune);

    /// <summary>ASCII punctuation, including symbols such as $ and +, or a category P (pre_tokenizers/punctuation.rs, is_punc).</summary>
    public static bool IsPunctuation(Rune rune) => rune.IsAscii
        ? rune.Value is >= '!' and <= '/' or >= ':' and <= '@' or >= '[' and <= '`' or >= '{' and <= '~'
        : Rune.IsPunctuation(rune);

    public static bool IsMark(Rune rune) => Rune.GetUnicodeCategory(rune)
        is UnicodeCategory.NonSpacingMark or UnicodeCategory.SpacingCombiningMark or UnicodeCategory.EnclosingMark;

    /// <summary>
    /// The regex crate's <c>\w</c>: Alphabetic, marks, decimal digits, connector punctuation and join controls (UTS 18, annex C).
    /// </summary>
    public static bool IsWord(Rune rune) => rune.IsAscii
        ? char.IsAsciiLetterOrDigit((char)rune.Value) || rune.Value == '_'
        : Rune.GetUnicodeCategory(rune) switch
        {
            UnicodeCategory.UppercaseLetter or UnicodeCategory.LowercaseLetter or UnicodeCategory.TitlecaseLetter
                or UnicodeCategory.ModifierLetter or UnicodeCategory.OtherLetter or UnicodeCategory.NonSpacingMark
                or UnicodeCategory.SpacingCombiningMark or UnicodeCategory.EnclosingMark or UnicodeCategory.DecimalDigitNumber
                or UnicodeCategory.LetterNumber or UnicodeCategory.ConnectorPunctuation => true,
            // U+200C and U+200D are join controls. Circled and squared letters are Alphabetic although their category is So.
            _ => rune.Value is 0x200C or 0x200D or >= 0x24B6 and <= 0x24E9
                or >= 0x1F130 and <= 0x1F149 or >= 0x1F150 and <= 0x1F169 or >= 0x1F170 and <= 0x1F189,
        };
}
