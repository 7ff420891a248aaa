namespace Ndif.Tokenizers.Chat;

/// <summary>The global functions of a template: those of transformers (raise_exception, strftime_now) and of Jinja.</summary>
/// <remarks>transformers, utils/chat_template_utils.py, _compile_jinja_template; jinja2/defaults.py</remarks>
internal static class TemplateGlobals
{
    public static Dictionary<string, object?> Create() => new(StringComparer.Ordinal)
    {
        ["raise_exception"] = (TemplateFunction)((a, _) => throw new ChatTemplateException(
            $"the template refuses this conversation: {TemplateValueFormatter.ToText(a.Bind("raise_exception", "message")[0])}")),
        ["strftime_now"] = (TemplateFunction)((a, c) =>
            TimeFormatter.Format(a.Bind("strftime_now", "format").Text(0), c.Time.GetLocalNow())),
        ["namespace"] = (TemplateFunction)((a, _) => new NamespaceValue(CreateDictionary(a))),
        ["dict"] = (TemplateFunction)((a, _) => CreateDictionary(a)),
        ["range"] = (TemplateFunction)((a, _) => CreateRange(a)),
        ["cycler"] = (TemplateFunction)((a, _) =>
        {
            a.RequireNoKeywords("cycler");
            return a.Positional.Count > 0 ? new CyclerValue(a.Positional)
                : throw new ChatTemplateException("cycler needs at least one value");
        }),
        ["joiner"] = (TemplateFunction)((a, _) => CreateJoiner(a.Bind("joiner", "sep=").Get(0, ", "))),
        ["lipsum"] = (TemplateFunction)((_, _) =>
            throw new ChatTemplateException("the function 'lipsum' is not supported: its result is random")),
    };

    private static MappingValue CreateDictionary(TemplateArguments arguments)
    {
        MappingValue map = new();
        object? entries = (arguments with { Keywords = [] }).Bind("dict", "/entries=").Get(0, new MappingValue());
        if (entries is MappingValue source) foreach (var (key, value) in source) map[key] = value;
        else
            foreach (object? pair in TemplateValues.Iterate(entries))
            {
                List<object?> items = [.. TemplateValues.Iterate(pair)];
                if (items.Count != 2) throw new ChatTemplateException("dict needs pairs of a key and a value");
                map[items[0]] = items[1];
            }
        foreach (var (name, value) in arguments.Keywords) map[name] = value;
        return map;
    }

    private static RangeValue CreateRange(TemplateArguments arguments)
    {
        BoundArguments bound = arguments.Bind("range", "/start", "/stop=", "/step=");
        long first = bound.Integer(0), step = bound.Integer(2, 1);
        (long start, long stop) = bound.Has(1) ? (first, bound.Integer(1)) : (0, first);
        if (step == 0) throw new ChatTemplateException("the step of range must not be zero");
        RangeValue range = new(start, stop, step);
        return range.Count <= RangeValue.MaxCount ? range
            : throw new ChatTemplateException($"a range has more than {RangeValue.MaxCount} numbers");
    }

    /// <summary>
    /// A function that returns an empty text when it is called first, and a separator afterwards (jinja2/utils.py, Joiner).
    /// </summary>
    private static TemplateFunction CreateJoiner(object? separator)
    {
        bool isUsed = false;
        return (arguments, _) =>
        {
            arguments.Bind("joiner");
            object? result = isUsed ? separator : "";
            isUsed = true;
            return result;
        };
    }
}
