namespace Ndif.Tokenizers.Chat.Filters;

/// <summary>The filters that select items by a test or change each item. Their result is computed when it is read, as in Jinja.</summary>
/// <remarks>jinja2/filters.py, select_or_reject and sync_do_map</remarks>
internal static class SelectionFilters
{
    public static Dictionary<string, TemplateFilter> All { get; } = new()
    {
        ["select"] = (v, a, c) => new IteratorValue(Select(v, a, c, false, true)),
        ["reject"] = (v, a, c) => new IteratorValue(Select(v, a, c, false, false)),
        ["selectattr"] = (v, a, c) => new IteratorValue(Select(v, a, c, true, true)),
        ["rejectattr"] = (v, a, c) => new IteratorValue(Select(v, a, c, true, false)),
        ["map"] = (v, a, c) => new IteratorValue(Map(v, a, c)),
    };

    private static IEnumerable<object?> Select(object? value, TemplateArguments arguments, RenderContext context, bool readsField,
        bool expected)
    {
        if (!TemplateValues.IsTrue(value)) yield break;
        Func<object?, object?> get = item => item;
        if (readsField)
        {
            if (arguments.Positional.Count == 0) throw new ChatTemplateException("the name of a field is missing");
            get = ItemField.Create(arguments.Positional[0]);
            arguments = arguments.Skip(1);
        }
        Func<object?, bool> test = TemplateValues.IsTrue;
        if (arguments.Positional.Count > 0)
        {
            string name = TemplateValues.AsText(arguments.Positional[0])
                ?? throw new ChatTemplateException("the name of a test must be a text");
            TemplateArguments rest = arguments.Skip(1);
            test = item => TemplateTestFunctions.Evaluate(name, item, rest, context);
        }
        foreach (object? item in TemplateValues.Iterate(value))
        {
            context.Budget.CountStep();
            if (test(get(item)) == expected) yield return item;
        }
    }

    private static IEnumerable<object?> Map(object? value, TemplateArguments arguments, RenderContext context)
    {
        if (!TemplateValues.IsTrue(value)) yield break;
        Func<object?, object?> map = CreateMap(arguments, context);
        foreach (object? item in TemplateValues.Iterate(value))
        {
            context.Budget.CountStep();
            yield return map(item);
        }
    }

    private static Func<object?, object?> CreateMap(TemplateArguments arguments, RenderContext context)
    {
        if (arguments.Positional.Count == 0 && arguments.Keywords.Any(keyword => keyword.Key == "attribute"))
        {
            BoundArguments bound = arguments.Bind("map", "attribute", "default=");
            return ItemField.Create(bound[0], false, bound[1]);
        }
        if (arguments.Positional.Count == 0) throw new ChatTemplateException("`map` needs a filter or an attribute");
        string name = TemplateValues.AsText(arguments.Positional[0])
            ?? throw new ChatTemplateException("the name of a filter must be a text");
        TemplateArguments rest = arguments.Skip(1);
        return item => TemplateFilters.Apply(name, item, rest, context);
    }
}
