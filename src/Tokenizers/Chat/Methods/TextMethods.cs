using System.Text;

namespace Ndif.Tokenizers.Chat.Methods;

/// <summary>The methods of strings.</summary>
/// <remarks>docs.python.org/3/library/stdtypes.html#string-methods</remarks>
internal static class TextMethods
{
    private delegate object? TextMethod(string text, TemplateArguments arguments, RenderContext context);

    private static readonly Dictionary<string, TextMethod> _methods = new(StringComparer.Ordinal)
    {
        ["upper"] = (t, a, _) => { a.Bind("upper"); return TextCase.ToUpper(t); },
        ["lower"] = (t, a, _) => { a.Bind("lower"); return TextCase.ToLower(t); },
        ["title"] = (t, a, _) => { a.Bind("title"); return TextCase.ToTitle(t); },
        ["capitalize"] = (t, a, _) => { a.Bind("capitalize"); return TextCase.Capitalize(t); },
        ["swapcase"] = (t, a, _) => { a.Bind("swapcase"); return TextCase.SwapCase(t); },
        ["casefold"] = (t, a, _) => { a.Bind("casefold"); return TextCase.Fold(t); },
        ["strip"] = (t, a, _) => TextSplitter.Strip(t, a.Bind("strip", "/chars=").OptionalText(0), true, true),
        ["lstrip"] = (t, a, _) => TextSplitter.Strip(t, a.Bind("lstrip", "/chars=").OptionalText(0), true, false),
        ["rstrip"] = (t, a, _) => TextSplitter.Strip(t, a.Bind("rstrip", "/chars=").OptionalText(0), false, true),
        ["removeprefix"] = (t, a, _) => a.Bind("removeprefix", "/prefix").Text(0) is var prefix
            && t.StartsWith(prefix, StringComparison.Ordinal)
            ? t[prefix.Length..] : t,
        ["removesuffix"] = (t, a, _) => a.Bind("removesuffix", "/suffix").Text(0) is var suffix
            && t.EndsWith(suffix, StringComparison.Ordinal)
            ? t[..^suffix.Length] : t,
        ["replace"] = (t, a, c) => a.Bind("replace", "/old", "/new", "/count=") is var b
            ? TextReplacer.Replace(t, b.Text(0), b.Text(1), b.Integer(2, -1), c.Budget) : null,
        ["split"] = (t, a, c) => Split(t, a.Bind("split", "sep=", "maxsplit="), c, TextSplitter.Split),
        ["rsplit"] = (t, a, c) => Split(t, a.Bind("rsplit", "sep=", "maxsplit="), c, TextSplitter.SplitFromEnd),
        ["splitlines"] = (t, a, c) => ToList(TextSplitter.SplitLines(t, a.Bind("splitlines", "keepends=").IsTrue(0))),
        ["partition"] = (t, a, _) => Partition(t, a.Bind("partition", "/sep").Text(0), false),
        ["rpartition"] = (t, a, _) => Partition(t, a.Bind("rpartition", "/sep").Text(0), true),
        ["join"] = Join,
        ["center"] = (t, a, c) => Pad("center", t, a, c, Center),
        ["ljust"] = (t, a, c) => Pad("ljust", t, a, c, (text, width, fill) => text + Fill(text, width, fill)),
        ["rjust"] = (t, a, c) => Pad("rjust", t, a, c, (text, width, fill) => Fill(text, width, fill) + text),
        ["zfill"] = (t, a, c) => ZeroFill(t, a.Bind("zfill", "/width").Integer(0), c),
        ["expandtabs"] = (t, a, c) => ExpandTabs(t, a.Bind("expandtabs", "tabsize=").Integer(0, 8), c),
        ["format"] = (t, a, c) => BraceFormatter.Format(t, a, null, c),
        ["format_map"] = (t, a, c) => BraceFormatter.Format(t, a, RequireMap(a), c),
    };

    /// <summary>The methods of Python's strings that are not supported.</summary>
    private static readonly HashSet<string> _refused = ["encode", "maketrans", "translate"];

    /// <summary>Returns a method of a string, or null if strings have no method of this name.</summary>
    public static object? Find(object? target, string name)
    {
        if (_refused.Contains(name)) throw new ChatTemplateException($"the method `{name}` of a text is not supported");
        string text = TemplateValues.AsText(target)!;
        if (TextSearchMethods.Find(text, name) is { } search) return search;
        if (!_methods.TryGetValue(name, out TextMethod? method)) return null;
        return (TemplateFunction)((arguments, context) =>
        {
            context.Budget.CountRead(text);
            return target is MarkupValue ? CallForMarkup(name, method, text, arguments, context) : method(text, arguments, context);
        });
    }

    /// <summary>The methods of a text that is marked as safe return such texts, and escape the texts that they add.</summary>
    private static object? CallForMarkup(string name, TextMethod method, string text, TemplateArguments arguments, RenderContext context)
    {
        switch (name)
        {
            case "format": return new MarkupValue(BraceFormatter.Format(text, arguments, null, context, escapes: true));
            case "format_map": return new MarkupValue(
                BraceFormatter.Format(text, arguments, RequireMap(arguments), context, escapes: true));
            case "join":
                List<object?> items = [.. TemplateValues.Iterate(arguments.Bind("join", "/iterable")[0]).Select(Markup.Escape)];
                return new MarkupValue((string)method(text, new TemplateArguments([items], []), context)!);
            case "replace" or "center" or "ljust" or "rjust" when arguments.Positional.Count > 1:
                arguments = arguments with
                {
                    Positional = [.. arguments.Positional.Select((value, i) => i == 1 && TemplateValues.AsText(value) is not null
                        ? Markup.Escape(value) : value)],
                };
                break;
        }
        return method(text, arguments, context) switch
        {
            string result => new MarkupValue(result),
            List<object?> list => list.ConvertAll(item => (object?)new MarkupValue((string)item!)),
            TupleValue tuple => new TupleValue([.. tuple.Items.Select(item => new MarkupValue((string)item!))]),
            var other => other,
        };
    }

    private static MappingValue RequireMap(TemplateArguments arguments) => arguments.Bind("format_map", "/mapping")[0] as MappingValue
        ?? throw new ChatTemplateException("`format_map` needs a dictionary");

    private static List<object?> Split(
        string text, BoundArguments arguments, RenderContext context, Func<string, string?, long, List<string>> split)
    {
        List<string> parts = split(text, arguments.OptionalText(0), arguments.Integer(1, -1));
        context.Budget.CountOutput(parts.Count);
        return ToList(parts);
    }

    private static List<object?> ToList(IEnumerable<string> texts) => [.. texts];

    private static TupleValue Partition(string text, string separator, bool isLast)
    {
        if (separator.Length == 0) throw new ChatTemplateException("the separator must not be an empty text");
        int at = isLast ? text.LastIndexOf(separator, StringComparison.Ordinal) : text.IndexOf(separator, StringComparison.Ordinal);
        return at >= 0 ? new TupleValue([text[..at], separator, text[(at + separator.Length)..]])
            : isLast ? new TupleValue(["", "", text]) : new TupleValue([text, "", ""]);
    }

    private static string Join(string separator, TemplateArguments arguments, RenderContext context)
    {
        List<string> texts = [];
        foreach (object? item in TemplateValues.Iterate(arguments.Bind("join", "/iterable")[0]))
        {
            string text = TemplateValues.AsText(item)
                ?? throw new ChatTemplateException($"`join` needs texts, not {TemplateValues.DescribeType(item)}; use the filter join");
            context.Budget.CountOutput(text.Length + (long)separator.Length);
            texts.Add(text);
        }
        return string.Join(separator, texts);
    }

    private static string Pad(
        string name, string text, TemplateArguments arguments, RenderContext context, Func<string, long, string, string> pad)
    {
        BoundArguments bound = arguments.Bind(name, "/width", "/fillchar=");
        string fill = bound.Text(1, " ");
        if (CodePoints.Count(fill) != 1) throw new ChatTemplateException($"`{name}` fills with one character, not '{fill}'");
        context.Budget.CountOutput(Math.Max(0, bound.Integer(0)));
        return pad(text, bound.Integer(0), fill);
    }

    /// <summary>str.center(): an odd character more goes to the left if the width is odd.</summary>
    public static string Center(string text, long width, string fill)
    {
        long missing = Math.Max(0, width - CodePoints.Count(text)), left = missing / 2 + (missing & width & 1);
        return Repeat(fill, left) + text + Repeat(fill, missing - left);
    }

    private static string Fill(string text, long width, string fill) => Repeat(fill, Math.Max(0, width - CodePoints.Count(text)));

    private static string Repeat(string text, long count) => string.Concat(Enumerable.Repeat(text, (int)count));

    private static string ZeroFill(string text, long width, RenderContext context)
    {
        long missing = Math.Max(0, width - CodePoints.Count(text));
        context.Budget.CountOutput(missing);
        int sign = text.Length > 0 && text[0] is '+' or '-' ? 1 : 0;
        return text[..sign] + Repeat("0", missing) + text[sign..];
    }

    private static string ExpandTabs(string text, long size, RenderContext context)
    {
        StringBuilder expanded = new();
        long column = 0;
        foreach (string character in CodePoints.Split(text).Cast<string>())
        {
            if (character != "\t")
            {
                expanded.Append(character);
                column = character is "\n" or "\r" ? 0 : column + 1;
                continue;
            }
            long spaces = size > 0 ? size - column % size : 0;
            context.Budget.CountOutput(spaces);
            expanded.Append(' ', (int)spaces);
            column += spaces;
        }
        return expanded.ToString();
    }

    /// <summary>Whether a text has a letter with case, and each such letter has this case.</summary>
    public static bool IsCase(string text, Func<Rune, bool> isCase)
    {
        bool found = false;
        foreach (Rune rune in text.EnumerateRunes())
        {
            if (!PythonCharacters.IsCased(rune)) continue;
            if (!isCase(rune)) return false;
            found = true;
        }
        return found;
    }
}
