using System.Globalization;
using System.Text;

namespace Ndif.Tokenizers.Tests.Differential;

/// <summary>Random texts: words of the vocabularies, white space, and runes of all planes.</summary>
internal static class RandomText
{
    private static readonly string[] _fragments =
    [
        "the", "The", "Hello", "world", "don't", "it's", "WE'LL", "ab", "abc", "cat", "dog", "a", "b", "0", "1", "12", "2024", "3.14",
        "x != y",
        " ", "  ", "   ", "\n", "\r\n", "\n\n", "\t", "\u00A0", "\u2003", "\u3000", "\u200B", ".", ",", "!", "?", "...", "—", "-", "_", "#",
        "$",
        "%", "^", "+", "=", "<", ">", "|", "`", "~", "(", ")", "[", "]", "{", "}", "\"", "'", "\\", "/", "@", "é", "e\u0301", "ü", "Ünï",
        "ß", "ñ",
        "Å", "ﬁ", "½", "²", "Ⅷ", "ⓐ", "İ", "ı", "Σ", "ς", "Привет", "мир", "שלום", "مرحبا", "،", "۔", "नमस्ते", "ไทย", "中文", "漢字", "日本語",
        "カナ",
        "ｶﾞ", "한국어", "각", "가", "𝐀", "𠀀", "🙂", "👨‍👩‍👧", "🇩🇪", "❤️", "￿", "\u0000", "\u0001", "\u007F", "\u00AD", "\uFEFF", "\uFFFD",
        "\u2581", "Ġ", "Ċ",
        "<unk>", "<s>", "</s>", "[CLS]", "[SEP]", "<x>", "<0x41>", "##a", "</w>", "。", "…", "٣", "०", "１２", "ª", "ʰ", "\u0378", "\uE000",
        "𝟙", "\U000E0001",
    ];

    public static string Next(Random random) => Next(random, withRunes: true);

    /// <summary>A text without random runes.</summary>
    public static string NextFragments(Random random) => Next(random, withRunes: false);

    private static string Next(Random random, bool withRunes)
    {
        int count = random.Next(0, 14);
        var text = new StringBuilder();
        for (int i = 0; i < count; i++)
        {
            if (withRunes && random.Next(12) == 0) text.Append(NextRune(random));
            else text.Append(_fragments[random.Next(_fragments.Length)]);
            if (random.Next(3) == 0) text.Append(' ');
        }
        return text.ToString();
    }

    /// <summary>
    /// A letter, number, symbol or unassigned code point. The library knows the marks and punctuation of Unicode 8 in some places.
    /// </summary>
    private static Rune NextRune(Random random)
    {
        int limit = random.Next(4) switch { 0 => 0x250, 1 => 0x3000, 2 => 0x10000, _ => 0x110000 };
        while (true)
            if (Rune.TryCreate(random.Next(limit), out var rune) && !IsMarkOrPunctuation(rune)) return rune;
    }

    private static bool IsMarkOrPunctuation(Rune rune) => Rune.IsPunctuation(rune) || Rune.GetUnicodeCategory(rune)
        is UnicodeCategory.NonSpacingMark or UnicodeCategory.SpacingCombiningMark or UnicodeCategory.EnclosingMark;
}
