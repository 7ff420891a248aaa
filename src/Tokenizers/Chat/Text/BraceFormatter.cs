using System.Globalization;
using System.Text;

namespace Ndif.Tokenizers.Chat.Text;

/// <summary>Formats a text with braces: the methods format and format_map of strings.</summary>
/// <remarks>docs.python.org/3/library/string.html#format-string-syntax; jinja2/sandbox.py, SandboxedFormatter</remarks>
internal sealed class BraceFormatter(TemplateArguments arguments, MappingValue? map, RenderContext context, bool escapes)
{
    private int _next;
    private bool? _numbersFields;

    /// <param name="format">The format.</param>
    /// <param name="arguments">The values.</param>
    /// <param name="map">The values of format_map; null for format.</param>
    /// <param name="context">The rendering.</param>
    /// <param name="escapes">True to escape the values for HTML, as a text that is marked as safe does.</param>
    public static string Format(string format, TemplateArguments arguments, MappingValue? map, RenderContext context,
        bool escapes = false) =>
        context.Budget.CountOutput(new BraceFormatter(arguments, map, context, escapes).Run(format, 2));

    private string Run(string format, int depth)
    {
        if (depth < 0) throw new ChatTemplateException("the braces of a format are nested too deeply");
        StringBuilder text = new();
        for (int i = 0; i < format.Length; i++)
        {
            char c = format[i];
            if (c is not ('{' or '}')) text.Append(c);
            else if (i + 1 < format.Length && format[i + 1] == c) text.Append(format[i++]);
            else if (c == '}') throw new ChatTemplateException("a format has a single }");
            else
            {
                int end = FindEnd(format, i);
                text.Append(FormatField(format[(i + 1)..end], depth));
                i = end;
            }
        }
        return text.ToString();
    }

    private static int FindEnd(string format, int open)
    {
        int depth = 0;
        for (int i = open; i < format.Length; i++)
        {
            if (format[i] == '[' && depth == 1 && format.IndexOf(']', i) is > 0 and int close && !format[open..i].Contains(':')) i = close;
            else if (format[i] == '{') depth++;
            else if (format[i] == '}' && --depth == 0) return i;
        }
        throw new ChatTemplateException("a format has a { without }");
    }

    private string FormatField(string field, int depth)
    {
        int nameEnd = 0;
        while (nameEnd < field.Length && field[nameEnd] is not (':' or '!'))
            nameEnd = field[nameEnd] == '[' && field.IndexOf(']', nameEnd) is > 0 and int close ? close + 1 : nameEnd + 1;
        string name = field[..nameEnd], spec = "";
        char conversion = '\0';
        if (nameEnd < field.Length && field[nameEnd] == '!')
        {
            conversion = nameEnd + 1 < field.Length ? field[++nameEnd] : throw new ChatTemplateException("a format ends after !");
            if (++nameEnd < field.Length && field[nameEnd] != ':')
                throw new ChatTemplateException("a format has no : after the conversion");
        }
        if (name.Contains('{')) throw new ChatTemplateException("a name in a format has a brace");
        object? value = FindValue(name);
        if (nameEnd < field.Length) spec = Run(field[(nameEnd + 1)..], depth - 1);
        value = conversion switch
        {
            '\0' => value,
            's' => TemplateValueFormatter.ToText(value),
            'r' => TemplateValueFormatter.Repr(value),
            _ => throw new ChatTemplateException($"the conversion !{conversion} is not supported"),
        };
        if (escapes && value is MarkupValue markup)
            return spec.Length == 0 ? markup.Text : throw new ChatTemplateException("a text that is marked as safe is not formatted");
        if (spec.Length == 0 && value is MacroValue or LoopValue or NamespaceValue) return TemplateValueFormatter.ToText(value);
        FormatSpec parsed = FormatSpec.Parse(spec);
        context.Budget.CountOutput(parsed.Width);
        string text = spec.Length == 0 ? TemplateValueFormatter.ToText(value) : parsed.Format(value);
        return escapes ? Markup.EscapeText(text) : text;
    }

    private object? FindValue(string name)
    {
        int end = name.AsSpan().IndexOfAny('.', '[');
        string first = end < 0 ? name : name[..end];
        if (first.Length == 0 && name.Length > 0) throw new ChatTemplateException("a name in a format begins with . or [; write {0.name}");
        object? value = FindFirst(first, isWhole: end < 0);
        for (int i = first.Length; i < name.Length;)
        {
            if (name[i] == '.')
            {
                int next = name.AsSpan(i + 1).IndexOfAny('.', '[') is >= 0 and int at ? i + 1 + at : name.Length;
                if (next == i + 1) throw new ChatTemplateException("a name in a format has an empty attribute");
                value = TemplateAccess.GetAttribute(value, name[(i + 1)..next]);
                i = next;
            }
            else if (name[i] == '[')
            {
                int close = name.IndexOf(']', i);
                if (close < 0 || close == i + 1) throw new ChatTemplateException("a name in a format has an empty item");
                string key = name[(i + 1)..close];
                value = TemplateAccess.GetItem(value, key.All(char.IsAsciiDigit) ? TemplateNumbers.ParseDigits(key, 10) : key);
                i = close + 1;
            }
            else throw new ChatTemplateException("a name in a format is followed by neither . nor [");
        }
        return value;
    }

    private object? FindFirst(string name, bool isWhole)
    {
        bool isNumber = name.Length > 0 && name.All(char.IsAsciiDigit);
        if (name.Length == 0 || isNumber)
        {
            if (isWhole && _numbersFields is { } numbers && numbers != isNumber)
                throw new ChatTemplateException("a format has both {} and {0}");
            if (isWhole) _numbersFields = isNumber;
            if (map is not null) throw new ChatTemplateException("format_map needs names in the braces");
            int index = isNumber ? int.TryParse(name, CultureInfo.InvariantCulture, out int number) ? number : int.MaxValue : _next++;
            return index < arguments.Positional.Count ? arguments.Positional[index]
                : throw new ChatTemplateException($"a format needs value {index}, which is not there");
        }
        if (map is not null)
            return map.TryGetValue(name, out object? entry) ? entry
                : throw new ChatTemplateException($"a format needs the value '{name}', which is not there");
        foreach (var (key, value) in arguments.Keywords)
            if (key == name) return value;
        throw new ChatTemplateException($"a format needs the value '{name}', which is not there");
    }
}
