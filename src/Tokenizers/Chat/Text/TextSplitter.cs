namespace Ndif.Tokenizers.Chat.Text;

/// <summary>Python's ways to divide a string.</summary>
internal static class TextSplitter
{
    public static List<string> SplitWords(string text) => Split(text, null, -1);

    /// <summary>str.split(): at a separator, or at white space if it is null.</summary>
    public static List<string> Split(string text, string? separator, long maxSplits)
    {
        List<string> parts = [];
        int start = 0;
        if (separator is null)
        {
            while (true)
            {
                while (start < text.Length && PythonCharacters.IsSpace(text[start])) start++;
                if (start == text.Length) return parts;
                int end = start;
                if (maxSplits >= 0 && parts.Count >= maxSplits) end = text.Length;
                else
                    while (end < text.Length && !PythonCharacters.IsSpace(text[end])) end++;
                parts.Add(text[start..end]);
                if (maxSplits >= 0 && parts.Count > maxSplits) return parts;
                start = end;
            }
        }
        RequireSeparator(separator);
        for (int at; (maxSplits < 0 || parts.Count < maxSplits) && (at = text.IndexOf(separator, start, StringComparison.Ordinal)) >= 0;
            start = at + separator.Length)
            parts.Add(text[start..at]);
        parts.Add(text[start..]);
        return parts;
    }

    /// <summary>str.rsplit(): as <see cref="Split"/>, from the end.</summary>
    public static List<string> SplitFromEnd(string text, string? separator, long maxSplits)
    {
        List<string> parts = [];
        int end = text.Length;
        if (separator is null)
        {
            while (true)
            {
                while (end > 0 && PythonCharacters.IsSpace(text[end - 1])) end--;
                if (end == 0) break;
                int start = end;
                if (maxSplits >= 0 && parts.Count >= maxSplits) start = 0;
                else
                    while (start > 0 && !PythonCharacters.IsSpace(text[start - 1])) start--;
                parts.Add(text[start..end]);
                if (maxSplits >= 0 && parts.Count > maxSplits) break;
                end = start;
            }
            parts.Reverse();
            return parts;
        }
        RequireSeparator(separator);
        for (int at; (maxSplits < 0 || parts.Count < maxSplits) && (at = FindLast(text, separator, end)) >= 0; end = at)
            parts.Add(text[(at + separator.Length)..end]);
        parts.Add(text[..end]);
        parts.Reverse();
        return parts;
    }

    private static int FindLast(string text, string separator, int end) =>
        text.AsSpan(0, end).LastIndexOf(separator, StringComparison.Ordinal);

    public static List<string> SplitLines(string text, bool keepsEnds = false)
    {
        List<string> lines = [];
        for (int start = 0; start < text.Length;)
        {
            int end = start;
            while (end < text.Length && !PythonCharacters.IsLineEnd(text[end])) end++;
            int next = end == text.Length ? end : text[end] == '\r' && end + 1 < text.Length && text[end + 1] == '\n' ? end + 2 : end + 1;
            lines.Add(text[start..(keepsEnds ? next : end)]);
            start = next;
        }
        return lines;
    }

    public static string Strip(string text, string? characters, bool left, bool right)
    {
        if (characters is not null && !(CodePoints.AreChars(characters) && CodePoints.AreChars(text))) return StripCodePoints(text,
            characters, left, right);
        int start = 0, end = text.Length;
        while (left && start < end && IsStripped(text[start])) start++;
        while (right && end > start && IsStripped(text[end - 1])) end--;
        return text[start..end];

        bool IsStripped(char c) => characters?.Contains(c) ?? PythonCharacters.IsSpace(c);
    }

    private static string StripCodePoints(string text, string characters, bool left, bool right)
    {
        HashSet<object?> stripped = [.. CodePoints.Split(characters)];
        List<object?> items = [.. CodePoints.Split(text)];
        int start = 0, end = items.Count;
        while (left && start < end && stripped.Contains(items[start])) start++;
        while (right && end > start && stripped.Contains(items[end - 1])) end--;
        return string.Concat(items[start..end]);
    }

    private static void RequireSeparator(string separator)
    {
        if (separator.Length == 0) throw new ChatTemplateException("the separator must not be an empty text");
    }
}
