using System.Text;

namespace Ndif.Tokenizers.Chat.Text;

/// <summary>Counts and cuts strings by code points, as Python does, and not by UTF-16 code units.</summary>
internal static class CodePoints
{
    /// <summary>Whether every char is a code point, so that indices are those of Python.</summary>
    public static bool AreChars(string text) => text.AsSpan().IndexOfAnyInRange('\ud800', '\udfff') < 0;

    public static int Count(string text) => AreChars(text) ? text.Length : ToPosition(text, int.MaxValue).Count;

    /// <summary>The code points as strings.</summary>
    public static IEnumerable<object?> Split(string text)
    {
        for (int i = 0, next; i < text.Length; i = next)
        {
            next = i + LengthAt(text, i);
            yield return text[i..next];
        }
    }

    public static string Substring(string text, int start, int end) => AreChars(text) ? text[start..end]
        : text[ToPosition(text, start).Position..ToPosition(text, end).Position];

    /// <summary>The position in UTF-16 of a code point.</summary>
    public static int ToUtf16(string text, int index) => AreChars(text) ? Math.Min(index, text.Length) : ToPosition(text, index).Position;

    /// <summary>The index of the code point at a position in UTF-16.</summary>
    public static int FromUtf16(string text, int position) => Count(text[..position]);

    /// <summary>The order of Python: by code point.</summary>
    public static int Compare(string x, string y)
    {
        int i = x.AsSpan().CommonPrefixLength(y);
        if (i == x.Length || i == y.Length) return x.Length.CompareTo(y.Length);
        // Surrogates sort after all other code points.
        bool isLarge = char.IsSurrogate(x[i]), isOtherLarge = char.IsSurrogate(y[i]);
        return isLarge == isOtherLarge ? x[i].CompareTo(y[i]) : isLarge ? 1 : -1;
    }

    public static IEnumerable<Rune> Runes(string text)
    {
        foreach (Rune rune in text.EnumerateRunes()) yield return rune;
    }

    private static (int Position, int Count) ToPosition(string text, int index)
    {
        int position = 0, count = 0;
        for (; position < text.Length && count < index; count++) position += LengthAt(text, position);
        return (position, count);
    }

    private static int LengthAt(string text, int position) =>
        char.IsHighSurrogate(text[position]) && position + 1 < text.Length && char.IsLowSurrogate(text[position + 1]) ? 2 : 1;
}
