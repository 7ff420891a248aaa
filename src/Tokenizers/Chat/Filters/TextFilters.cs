using System.Globalization;
using System.Text;
using static Ndif.Tokenizers.Chat.Text.TemplateValueFormatter;

namespace Ndif.Tokenizers.Chat.Filters;

/// <summary>The filters that change a text.</summary>
/// <remarks>jinja2/filters.py</remarks>
internal static class TextFilters
{
    public static Dictionary<string, TemplateFilter> All { get; } = new()
    {
        ["upper"] = (v, a, _) => Change("upper", v, a, TextCase.ToUpper),
        ["lower"] = (v, a, _) => Change("lower", v, a, TextCase.ToLower),
        ["capitalize"] = (v, a, _) => Change("capitalize", v, a, TextCase.Capitalize),
        ["title"] = (v, a, _) => { a.Bind("title"); return TextCase.ToTitleWords(ToText(v)); },
        ["trim"] = Trim,
        ["center"] = Center,
        ["replace"] = Replace,
        ["indent"] = Indent,
        ["truncate"] = Truncate,
        ["wordwrap"] = WordWrap,
        ["wordcount"] = (v, a, _) => WordCount(v, a),
        ["format"] = Format,
        ["string"] = (v, a, _) => { a.Bind("string"); return v is MarkupValue ? v : ToText(v); },
        ["urlencode"] = UrlEncode,
        ["filesizeformat"] = FormatFileSize,
        ["pprint"] = PrettyPrint,
    };

    /// <summary>Changes the text of a value. A text that is marked as safe stays so.</summary>
    private static object Change(string name, object? value, TemplateArguments arguments, Func<string, string> change)
    {
        arguments.Bind(name);
        string changed = change(ToText(value));
        return value is MarkupValue ? new MarkupValue(changed) : changed;
    }

    private static object? Trim(object? value, TemplateArguments arguments, RenderContext context)
    {
        string? characters = arguments.Bind("trim", "chars=").OptionalText(0);
        return Change("trim", value, new([], []), text => TextSplitter.Strip(text, characters, true, true));
    }

    private static object? Center(object? value, TemplateArguments arguments, RenderContext context)
    {
        long width = arguments.Bind("center", "width=").Integer(0, 80);
        context.Budget.CountOutput(Math.Max(0, width));
        return Change("center", value, new([], []), text => TextMethods.Center(text, width, " "));
    }

    private static string Replace(object? value, TemplateArguments arguments, RenderContext context)
    {
        BoundArguments bound = arguments.Bind("replace", "old", "new", "count=");
        return TextReplacer.Replace(ToText(value), ToText(bound[0]), ToText(bound[1]), bound.OptionalInteger(2) ?? -1, context.Budget);
    }

    private static object? Indent(object? value, TemplateArguments arguments, RenderContext context)
    {
        BoundArguments bound = arguments.Bind("indent", "width=", "first=", "blank=");
        string text = TemplateValues.AsText(value)
            ?? throw new ChatTemplateException($"`indent` needs a text, not {TemplateValues.DescribeType(value)}");
        bool isMarkup = value is MarkupValue;
        string width = TemplateValues.AsText(bound[0])
            ?? new string(' ', (int)Math.Clamp(bound.Integer(0, 4), 0, RenderBudget.MaxLength));
        bool indentsFirst = bound.IsTrue(1), indentsBlank = bound.IsTrue(2);
        List<string> lines = TextSplitter.SplitLines(text + "\n");
        context.Budget.CountOutput((long)lines.Count * width.Length);
        StringBuilder indented = new();
        for (int i = 0; i < lines.Count; i++)
        {
            if (i > 0) indented.Append('\n');
            if (i == 0 ? indentsFirst : indentsBlank || lines[i].Length > 0) indented.Append(width);
            indented.Append(lines[i]);
        }
        return isMarkup ? new MarkupValue(indented.ToString()) : indented.ToString();
    }

    private static object? Truncate(object? value, TemplateArguments arguments, RenderContext context)
    {
        BoundArguments bound = arguments.Bind("truncate", "length=", "killwords=", "end=", "leeway=");
        long length = bound.Integer(0, 255), leeway = bound.OptionalInteger(3) ?? 5;
        object? end = bound.Get(2, "...");
        string endText = bound.Text(2, "...");
        long endLength = CodePoints.Count(endText);
        if (length < endLength) throw new ChatTemplateException($"the length of truncate must be at least {endLength}, not {length}");
        if (leeway < 0) throw new ChatTemplateException($"the leeway of truncate must not be negative, not {leeway}");
        long count = TemplateValues.Length(value) ?? throw new ChatTemplateException($"{TemplateValues.DescribeType(value)} has no length");
        if (count <= length + leeway) return value;
        string text = TemplateValues.AsText(value)
            ?? throw new ChatTemplateException($"`truncate` needs a text, not {TemplateValues.DescribeType(value)}");
        string kept = CodePoints.Substring(text, 0, (int)(length - endLength));
        if (!bound.IsTrue(1)) kept = kept.LastIndexOf(' ') is >= 0 and int space ? kept[..space] : kept;
        return value is MarkupValue ? new MarkupValue(kept + Markup.Escape(end)) : end is MarkupValue
            ? new MarkupValue(Markup.EscapeText(kept) + endText)
            : kept + endText;
    }

    private static string WordWrap(object? value, TemplateArguments arguments, RenderContext context)
    {
        BoundArguments bound = arguments.Bind("wordwrap", "width=", "break_long_words=", "wrapstring=", "break_on_hyphens=");
        string text = TemplateValues.AsText(value)
            ?? throw new ChatTemplateException($"`wordwrap` needs a text, not {TemplateValues.DescribeType(value)}");
        string separator = bound.OptionalText(2) ?? "\n";
        TextWrapper wrapper = new((int)bound.Integer(0, 79), bound.IsTrue(1, true), bound.IsTrue(3, true));
        List<string> lines = TextSplitter.SplitLines(text);
        return string.Join(separator, lines.Select(line => string.Join(separator, wrapper.Wrap(line))));
    }

    private static long WordCount(object? value, TemplateArguments arguments)
    {
        arguments.Bind("wordcount");
        long count = 0;
        bool isInWord = false;
        foreach (Rune rune in ToText(value).EnumerateRunes())
        {
            bool isWord = PythonCharacters.IsWord(rune);
            if (isWord && !isInWord) count++;
            isInWord = isWord;
        }
        return count;
    }

    private static object? Format(object? value, TemplateArguments arguments, RenderContext context)
    {
        if (arguments.Positional.Count > 0 && arguments.Keywords.Count > 0)
            throw new ChatTemplateException("the filter format takes values by position or by name, not both");
        object values = arguments.Keywords.Count == 0 ? new TupleValue(arguments.Positional)
            : new MappingValue(arguments.Keywords.Select(keyword => new KeyValuePair<object?, object?>(keyword.Key, keyword.Value)));
        string text = PercentFormatter.Format(ToText(value), values, context, escapes: value is MarkupValue);
        return value is MarkupValue ? new MarkupValue(text) : text;
    }

    private static string UrlEncode(object? value, TemplateArguments arguments, RenderContext context)
    {
        arguments.Bind("urlencode");
        if (TemplateValues.AsText(value) is { } text) return Quote(text, false);
        if (!TemplateValues.IsIterable(value)) return Quote(ToText(value), false);
        IEnumerable<object?> pairs = value is MappingValue map ? new DictionaryView(map, DictionaryViewKind.Items).Items
            : TemplateValues.Iterate(value);
        return string.Join('&', pairs.Select(pair =>
        {
            List<object?> items = [.. TemplateValues.Iterate(pair)];
            if (items.Count != 2) throw new ChatTemplateException("`urlencode` needs pairs of a name and a value");
            return Quote(ToText(items[0]), true) + "=" + Quote(ToText(items[1]), true);
        }));
    }

    /// <summary>urllib.parse.quote: a slash is kept in a path, and a space is + in a query.</summary>
    private static string Quote(string text, bool isQuery)
    {
        StringBuilder quoted = new();
        foreach (byte b in Encoding.UTF8.GetBytes(text))
        {
            if (char.IsAsciiLetterOrDigit((char)b) || (char)b is '_' or '.' or '-' or '~' || (b == '/' && !isQuery)) quoted.Append((char)b);
            else if (b == ' ' && isQuery) quoted.Append('+');
            else quoted.Append('%').Append(b.ToString("X2", CultureInfo.InvariantCulture));
        }
        return quoted.ToString();
    }

    private static string FormatFileSize(object? value, TemplateArguments arguments, RenderContext context)
    {
        bool isBinary = arguments.Bind("filesizeformat", "binary=").IsTrue(0);
        double bytes = NumberFilters.ParseReal(value)
            ?? throw new ChatTemplateException($"`filesizeformat` needs a number, not {TemplateValues.DescribeType(value)}");
        double size = isBinary ? 1024 : 1000, unit = size;
        if (bytes == 1) return "1 Byte";
        if (bytes < size) return double.IsFinite(bytes) ? RealFormatter.FormatFixed(Math.Truncate(bytes), 0) is var whole && bytes <= -1
            ? $"-{whole} Bytes" : $"{whole} Bytes"
            : throw new ChatTemplateException("`filesizeformat` needs a finite number");
        string prefix = "";
        foreach (char letter in isBinary ? "KMGTPEZY" : "kMGTPEZY")
        {
            (prefix, unit) = (letter + (isBinary ? "iB" : "B"), unit * size);
            if (bytes < unit) break;
        }
        return (size * bytes / unit is var shown && double.IsFinite(shown) ? RealFormatter.FormatFixed(shown, 1) : "inf") + " " + prefix;
    }

    private static string PrettyPrint(object? value, TemplateArguments arguments, RenderContext context)
    {
        arguments.Bind("pprint");
        string text = Repr(value);
        bool isSimple = value is not (MappingValue or List<object?> or TupleValue or string or MarkupValue) || text.Length < 80;
        return isSimple && !HasUnsortedKeys(value) ? text
            : throw new ChatTemplateException("`pprint` is supported for values on one line with sorted keys only; use tojson(indent=2)");
    }

    /// <summary>Whether a dictionary in a value is not in the order in which Python's pprint writes it.</summary>
    private static bool HasUnsortedKeys(object? value) => value switch
    {
        MappingValue map => map.Keys.Any(key => TemplateValues.AsText(key) is null)
            || map.Keys.Zip(map.Keys.Skip(1)).Any(pair => TemplateValues.Order(pair.First, pair.Second) > 0)
            || map.Any(entry => HasUnsortedKeys(entry.Value)),
        List<object?> list => list.Exists(HasUnsortedKeys),
        TupleValue tuple => tuple.Items.Any(HasUnsortedKeys),
        _ => false,
    };
}
