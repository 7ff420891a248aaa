using System.Net;

namespace Ndif.Tokenizers.Chat.Text;

/// <summary>Escapes text for HTML.</summary>
/// <remarks>markupsafe, escape and Markup.striptags</remarks>
internal static class Markup
{
    /// <summary>The text of a value, escaped unless it is marked as safe.</summary>
    public static string Escape(object? value) => value is MarkupValue markup ? markup.Text
        : EscapeText(TemplateValueFormatter.ToText(value));

    public static string EscapeText(string text) => text
        .Replace("&", "&amp;", StringComparison.Ordinal)
        .Replace("<", "&lt;", StringComparison.Ordinal)
        .Replace(">", "&gt;", StringComparison.Ordinal)
        .Replace("'", "&#39;", StringComparison.Ordinal)
        .Replace("\"", "&#34;", StringComparison.Ordinal);

    /// <summary>Removes comments and tags, collapses white space, and decodes entities.</summary>
    public static string StripTags(string text)
    {
        text = Remove(Remove(text, "<!--", "-->"), "<", ">");
        return WebUtility.HtmlDecode(string.Join(' ', TextSplitter.SplitWords(text)));
    }

    private static string Remove(string text, string open, string close)
    {
        for (int start = text.IndexOf(open, StringComparison.Ordinal),
            end; start >= 0; start = text.IndexOf(open, start, StringComparison.Ordinal))
        {
            end = text.IndexOf(close, start, StringComparison.Ordinal);
            if (end < 0) break;
            text = text[..start] + text[(end + close.Length)..];
        }
        return text;
    }
}
