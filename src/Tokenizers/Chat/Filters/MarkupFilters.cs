namespace Ndif.Tokenizers.Chat.Filters;

/// <summary>The filters for HTML, and tojson as transformers defines it.</summary>
/// <remarks>jinja2/filters.py; transformers, utils/chat_template_utils.py, tojson</remarks>
internal static class MarkupFilters
{
    private static readonly System.Buffers.SearchValues<char> _noNameChars = System.Buffers.SearchValues.Create(" \t\n\r\f\v/>=");

    public static Dictionary<string, TemplateFilter> All { get; } = new()
    {
        ["safe"] = (v, a, _) => { a.Bind("safe"); return v is MarkupValue ? v : new MarkupValue(TemplateValueFormatter.ToText(v)); },
        ["escape"] = Escape,
        ["e"] = Escape,
        ["forceescape"] = (v, a, _) => { a.Bind("forceescape"); return new MarkupValue(
            Markup.EscapeText(TemplateValueFormatter.ToText(v))); },
        ["striptags"] = (v, a, _) => { a.Bind("striptags"); return Markup.StripTags(TemplateValueFormatter.ToText(v)); },
        ["xmlattr"] = WriteAttributes,
        ["tojson"] = ToJson,
    };

    private static MarkupValue Escape(object? value, TemplateArguments arguments, RenderContext context)
    {
        arguments.Bind("escape");
        return new MarkupValue(Markup.Escape(value));
    }

    private static string WriteAttributes(object? value, TemplateArguments arguments, RenderContext context)
    {
        bool startsWithSpace = arguments.Bind("xmlattr", "autospace=").IsTrue(0, true);
        if (value is not MappingValue map)
            throw new ChatTemplateException($"`xmlattr` needs a dictionary, not {TemplateValues.DescribeType(value)}");
        List<string> attributes = [];
        foreach (var (key, content) in map)
        {
            if (content is null or UndefinedValue) continue;
            if (TemplateValues.AsText(key) is not { } name || name.AsSpan().ContainsAny(_noNameChars))
                throw new ChatTemplateException($"`xmlattr`: {TemplateValueFormatter.Repr(key)} is no name of an attribute");
            attributes.Add($"{Markup.Escape(key)}=\"{Markup.Escape(content)}\"");
        }
        string text = string.Join(' ', attributes);
        return startsWithSpace && text.Length > 0 ? " " + text : text;
    }

    private static string ToJson(object? value, TemplateArguments arguments, RenderContext context)
    {
        BoundArguments bound = arguments.Bind("tojson", "ensure_ascii=", "indent=", "separators=", "sort_keys=");
        string? indent = bound[1] is null ? null : TemplateValues.AsText(bound[1])
            ?? new string(' ', (int)Math.Clamp(bound.Integer(1), 0, RenderBudget.MaxLength));
        (string itemSeparator, string keySeparator) = (indent is null ? ", " : ",", ": ");
        if (bound[2] is not null)
        {
            List<object?> separators = [.. TemplateValues.Iterate(bound[2])];
            if (separators.Count != 2 || separators.Exists(separator => TemplateValues.AsText(separator) is null))
                throw new ChatTemplateException("the separators of tojson must be two texts: (',', ':')");
            (itemSeparator, keySeparator) = (TemplateValues.AsText(separators[0])!, TemplateValues.AsText(separators[1])!);
        }
        return new TemplateJsonWriter(bound.IsTrue(0), indent, itemSeparator, keySeparator, bound.IsTrue(3), context.Budget).Write(value);
    }
}
