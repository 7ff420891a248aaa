using System.Globalization;
using System.Text;

namespace Ndif.Drawing;

/// <summary>Texts of tokens and axes as a reader can see them, and about how wide they are.</summary>
internal static class Label
{
    private const string Ellipsis = "…";

    /// <summary>
    /// A token with its whitespace made visible: <c>·</c> for spaces at its ends, <c>⏎</c> for a line feed, <c>⇥</c> for a tab,
    /// <c>\u200B</c> for what has no width or changes the direction of text, <c>""</c> for nothing.
    /// </summary>
    public static string Visible(string token)
    {
        if (token.Length == 0) return "\"\"";
        int first = 0, last = token.Length;
        while (first < token.Length && token[first] == ' ') first++;
        while (last > first && token[last - 1] == ' ') last--;
        var text = new StringBuilder(token.Length);
        for (int i = 0; i < token.Length; i++)
        {
            char c = token[i];
            if (c == ' ') text.Append(i < first || i >= last ? '·' : ' ');
            else if (c == '\n') text.Append('⏎');
            else if (c == '\t') text.Append('⇥');
            else if (char.IsSurrogate(c) && i + 1 < token.Length && char.IsSurrogatePair(c, token[i + 1])) text.Append(c).Append(token[++i]);
            else if (IsInvisible(c)) text.Append(CultureInfo.InvariantCulture, $"\\u{(int)c:X4}");
            else text.Append(c);
        }
        return text.ToString();
    }

    /// <summary>The beginning of a text, at most so many pixels wide.</summary>
    public static string Fit(string text, double width, double fontSize)
    {
        if (Width(text, fontSize) <= width) return text;
        int[] starts = StringInfo.ParseCombiningCharacters(text); // a character is not cut into its parts
        for (int count = starts.Length - 1; count > 0; count--)
            if (text[..starts[count]] + Ellipsis is var part && Width(part, fontSize) <= width) return part;
        return Ellipsis;
    }

    /// <summary>
    /// The width of a text in pixels, from above: no font is needed to draw. Measured on DejaVu Sans, the widest of the usual fonts.
    /// </summary>
    public static double Width(string text, double fontSize) => fontSize * text.Sum(c => c switch
    {
        'i' or 'j' or 'l' or '\'' or '|' or '.' or ',' or ':' or ';' or '·' or ' ' or 'I' => 0.33,
        'f' or 't' or 'r' or '(' or ')' or '[' or ']' or '/' or '-' => 0.42,
        'm' or 'w' or 'M' or 'W' or '@' or '%' or '…' => 0.98,
        '−' or '+' or '=' or '<' or '>' or '~' => 0.84,
        >= 'A' and <= 'Z' => 0.74,
        >= '\u1100' => 1.0, // Korean, Chinese, Japanese, symbols; of a pair of surrogates each half
        _ => 0.64,
    });

    /// <summary>Control and format characters, separators other than the space, halves of a pair, and what is not a character.</summary>
    private static bool IsInvisible(char c) => c is '\ufffe' or '\uffff' || char.GetUnicodeCategory(c) is UnicodeCategory.Control
        or UnicodeCategory.Format or UnicodeCategory.LineSeparator or UnicodeCategory.ParagraphSeparator or UnicodeCategory.Surrogate
        || (c != ' ' && char.GetUnicodeCategory(c) == UnicodeCategory.SpaceSeparator);
}
