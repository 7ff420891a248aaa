namespace Ndif.Tokenizers.Chat;

/// <summary>The string operations that filters and string methods share.</summary>
internal static class StringFunctions
{
    public static string Title(string text) => string.Concat(text.Select((c, i) =>
        i == 0 || !char.IsLetter(text[i - 1]) ? char.ToUpperInvariant(c) : char.ToLowerInvariant(c)));

    public static string Capitalize(string text) =>
        text.Length == 0 ? text : char.ToUpperInvariant(text[0]) + text[1..].ToLowerInvariant();

    /// <summary>Python's str.replace(). A negative <paramref name="maxCount"/> replaces all occurrences.</summary>
    public static string Replace(string text, string oldValue, string newValue, long maxCount, RenderBudget budget)
    {
        if (oldValue.Length == 0) throw new ChatTemplateException("an empty text cannot be replaced");
        string[] segments = maxCount < 0 ? text.Split(oldValue) : text.Split(oldValue, (int)Math.Min(maxCount, int.MaxValue - 1) + 1);
        budget.CountOutput(text.Length + (long)segments.Length * newValue.Length);
        return string.Join(newValue, segments);
    }

    /// <summary>Removes characters (white space if null) from the start, the end or both.</summary>
    public static string Strip(string text, string? characters, bool left, bool right)
    {
        int start = 0, end = text.Length;
        while (left && start < end && IsStripped(text[start])) start++;
        while (right && end > start && IsStripped(text[end - 1])) end--;
        return text[start..end];

        bool IsStripped(char c) => characters?.Contains(c) ?? char.IsWhiteSpace(c);
    }

    /// <summary>Escapes a string for HTML (markupsafe.escape).</summary>
    public static string Escape(string text) => text
        .Replace("&", "&amp;", StringComparison.Ordinal)
        .Replace("<", "&lt;", StringComparison.Ordinal)
        .Replace(">", "&gt;", StringComparison.Ordinal)
        .Replace("'", "&#39;", StringComparison.Ordinal)
        .Replace("\"", "&#34;", StringComparison.Ordinal);
}
