using System.Text;

namespace Ndif.Tokenizers.Chat.Text;

/// <summary>Python's changes of case, which can make several characters of one.</summary>
internal static class TextCase
{
    public static string ToUpper(string text) => Ascii.IsValid(text) ? text.ToUpperInvariant()
        : Map(text, rune => SpecialCasing.Upper.GetValueOrDefault(rune.Value) ?? Rune.ToUpperInvariant(rune).ToString());

    public static string ToLower(string text) => Ascii.IsValid(text) ? text.ToLowerInvariant() : MapCase(text, (_, _) => false);

    /// <summary>str.title(): a letter after a character without case is upper case, and others are lower case.</summary>
    public static string ToTitle(string text) => MapCase(text, (_, isAfterCased) => !isAfterCased);

    /// <summary>The first character in title case, and the others in lower case.</summary>
    public static string Capitalize(string text) => MapCase(text, (position, _) => position == 0);

    /// <summary>The filter title: the first character of each word is upper case. Words end at spaces, hyphens and brackets.</summary>
    /// <remarks>jinja2/filters.py, do_title</remarks>
    public static string ToTitleWords(string text)
    {
        StringBuilder title = new(text.Length);
        for (int i = 0, end; i < text.Length; i = end)
        {
            bool isSeparator = IsSeparator(text[i]);
            for (end = i + 1; end < text.Length && IsSeparator(text[end]) == isSeparator; end++) { }
            string word = text[i..end];
            int first = char.IsHighSurrogate(word[0]) && word.Length > 1 ? 2 : 1;
            title.Append(isSeparator ? word : ToUpper(word[..first]) + ToLower(word[first..]));
        }
        return title.ToString();

        static bool IsSeparator(char c) => c is '-' or '(' or '{' or '[' or '<' || PythonCharacters.IsSpace(c);
    }

    public static string SwapCase(string text)
    {
        StringBuilder swapped = new(text.Length);
        List<Rune> runes = [.. CodePoints.Runes(text)];
        for (int i = 0; i < runes.Count; i++)
            swapped.Append(PythonCharacters.IsUpper(runes[i]) ? LowerAt(runes, i)
                : PythonCharacters.IsLower(runes[i]) ? ToUpper(runes[i].ToString()) : runes[i].ToString());
        return swapped.ToString();
    }

    public static string Fold(string text) => Ascii.IsValid(text) ? text.ToLowerInvariant() : Map(text, rune => rune.Value switch
    {
        >= 0x13a0 and <= 0x13f5 => rune.ToString(), // the letters of Cherokee fold to upper case
        >= 0x13f8 and <= 0x13fd => new Rune(rune.Value - 8).ToString(),
        >= 0xab70 and <= 0xabbf => new Rune(rune.Value - 0xab70 + 0x13a0).ToString(),
        0x0130 => "i\u0307",
        _ => SpecialCasing.Folded.GetValueOrDefault(rune.Value) ?? ToSimpleLower(rune),
    });

    private static string Map(string text, Func<Rune, string> map)
    {
        StringBuilder mapped = new(text.Length);
        foreach (Rune rune in text.EnumerateRunes()) mapped.Append(map(rune));
        return mapped.ToString();
    }

    private static string MapCase(string text, Func<int, bool, bool> isTitle)
    {
        StringBuilder mapped = new(text.Length);
        List<Rune> runes = [.. CodePoints.Runes(text)];
        bool isAfterCased = false;
        for (int i = 0; i < runes.Count; i++)
        {
            mapped.Append(isTitle(i, isAfterCased) ? TitleOf(runes[i]) : LowerAt(runes, i));
            isAfterCased = PythonCharacters.IsCased(runes[i]);
        }
        return mapped.ToString();
    }

    private static string TitleOf(Rune rune) => SpecialCasing.Title.GetValueOrDefault(rune.Value) ?? ToUpper(rune.ToString());

    /// <summary>Lower case. A capital sigma at the end of a word is a final sigma.</summary>
    private static string LowerAt(List<Rune> runes, int index)
    {
        Rune rune = runes[index];
        if (rune.Value == 0x0130) return "i\u0307";
        if (rune.Value != 0x03a3) return ToSimpleLower(rune);
        int before = index - 1, after = index + 1;
        while (before >= 0 && IsIgnorable(runes[before])) before--;
        while (after < runes.Count && IsIgnorable(runes[after])) after++;
        bool isFinal = before >= 0 && PythonCharacters.IsCased(runes[before])
            && (after >= runes.Count || !PythonCharacters.IsCased(runes[after]));
        return isFinal ? "\u03c2" : "\u03c3";
    }

    private static string ToSimpleLower(Rune rune) => Rune.ToLowerInvariant(rune).ToString();

    /// <summary>The property Case_Ignorable of Unicode.</summary>
    private static bool IsIgnorable(Rune rune) => rune.Value is '\'' or '.' or ':' or 0xb7 or 0x2018 or 0x2019 or 0x2027
        || Rune.GetUnicodeCategory(rune) is System.Globalization.UnicodeCategory.NonSpacingMark
            or System.Globalization.UnicodeCategory.EnclosingMark
            or System.Globalization.UnicodeCategory.Format or System.Globalization.UnicodeCategory.ModifierLetter
            or System.Globalization.UnicodeCategory.ModifierSymbol;
}
