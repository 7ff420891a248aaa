namespace Ndif.Tokenizers.Chat;

/// <summary>
/// Splits the source of a template into text and tags. White space is treated with the settings that transformers uses: a statement
/// removes the newline after it (trim_blocks) and, at the start of a line, the blanks before it (lstrip_blocks).
/// </summary>
/// <remarks>jinja2/lexer.py; transformers, utils/chat_template_utils.py, _compile_jinja_template</remarks>
internal static class TemplateLexer
{
    public static List<TemplateSegment> SplitSegments(string template)
    {
        template = template.ReplaceLineEndings("\n");
        if (template.EndsWith('\n')) template = template[..^1];
        List<TemplateSegment> segments = [];
        int position = 0, line = 1;
        bool trimsNextText = false; // true after a tag that ends with -
        while (position <= template.Length)
        {
            // The text before the next tag.
            int open = FindNextTag(template, position);
            string text = open < 0 ? template[position..] : template[position..open];
            int tagLine = line + text.AsSpan().Count('\n');
            if (trimsNextText) text = text.TrimStart();
            if (open < 0)
            {
                if (text.Length > 0) segments.Add(new TemplateSegment(TemplateSegmentKind.Text, text, line));
                return segments;
            }
            char kind = template[open + 1];
            char sign = open + 2 < template.Length ? template[open + 2] : ' ';
            if (sign == '-') text = text.TrimEnd();
            else if (sign != '+' && kind != '{') text = TrimIndent(text, IsLineStart(template, position));
            if (text.Length > 0) segments.Add(new TemplateSegment(TemplateSegmentKind.Text, text, line));

            // The content of the tag.
            int start = open + 2 + (sign is '-' or '+' ? 1 : 0), end = FindTagEnd(template, start, kind, tagLine);
            char lastSign = template[end - 1];
            string content = template[start..(lastSign is '-' or '+' && end - 1 >= start ? end - 1 : end)];
            trimsNextText = lastSign == '-';
            line = tagLine + template.AsSpan(open, end - open).Count('\n');
            position = end + 2;
            if (kind != '{' && lastSign is not ('-' or '+') && position < template.Length && template[position] == '\n')
            {
                position++;
                line++;
            }
            if (kind == '#') continue;
            if (kind == '%' && content.Trim() == "raw")
            {
                string raw = ReadRaw(template, ref position, line, tagLine);
                segments.Add(new TemplateSegment(TemplateSegmentKind.Text, raw, line));
                line += raw.AsSpan().Count('\n');
                continue;
            }
            segments.Add(new TemplateSegment(kind == '{' ? TemplateSegmentKind.Print : TemplateSegmentKind.Block, content, tagLine));
        }
        return segments;
    }

    /// <summary>Reads the text of <c>{% raw %}</c> and moves the position after <c>{% endraw %}</c>.</summary>
    private static string ReadRaw(string template, ref int position, int line, int tagLine)
    {
        int stop = template.IndexOf("{%", position, StringComparison.Ordinal);
        while (stop >= 0 && !template.AsSpan(stop + 2).TrimStart("-+ ").StartsWith("endraw", StringComparison.Ordinal))
            stop = template.IndexOf("{%", stop + 2, StringComparison.Ordinal);
        if (stop < 0) throw new ChatTemplateException($"line {tagLine}: raw has no endraw");
        string raw = template[position..stop];
        int end = template.IndexOf("%}", stop, StringComparison.Ordinal);
        if (end < 0) throw new ChatTemplateException($"line {line + raw.AsSpan().Count('\n')}: endraw has no end");
        position = end + 2;
        return raw;
    }

    private static int FindNextTag(string template, int start)
    {
        for (int i = template.IndexOf('{', start); i >= 0 && i + 1 < template.Length; i = template.IndexOf('{', i + 1))
            if (template[i + 1] is '{' or '%' or '#') return i;
        return -1;
    }

    private static bool IsLineStart(string template, int position) => position == 0 || template[position - 1] == '\n';

    /// <summary>
    /// Removes the blanks after the last newline of a text. A text without a newline is removed if it is blank and starts a line.
    /// </summary>
    private static string TrimIndent(string text, bool startsLine)
    {
        int newline = text.LastIndexOf('\n');
        string lastLine = text[(newline + 1)..];
        return lastLine.All(c => c is ' ' or '\t') && (newline >= 0 || startsLine) ? text[..(newline + 1)] : text;
    }

    /// <summary>Finds the end of a tag, ignoring ends within quoted strings and braces.</summary>
    private static int FindTagEnd(string template, int start, char kind, int line)
    {
        string end = kind switch { '{' => "}}", '%' => "%}", _ => "#}" };
        int braces = 0;
        for (int i = start; i + 1 < template.Length; i++)
        {
            char c = template[i];
            if (kind != '#' && c is '"' or '\'')
            {
                for (i++; i < template.Length && template[i] != c; i++)
                    if (template[i] == '\\') i++;
                continue;
            }
            if (braces == 0 && string.CompareOrdinal(template, i, end, 0, 2) == 0) return i;
            if (kind == '#') continue;
            if (c == '{') braces++;
            if (c == '}' && braces > 0) braces--;
        }
        throw new ChatTemplateException($"line {line}: a tag has no end {end}");
    }
}
