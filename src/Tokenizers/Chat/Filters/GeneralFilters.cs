namespace Ndif.Tokenizers.Chat.Filters;

/// <summary>The filters for values of any type, and for dictionaries.</summary>
/// <remarks>jinja2/filters.py</remarks>
internal static class GeneralFilters
{
    public static Dictionary<string, TemplateFilter> All { get; } = new()
    {
        ["default"] = Default,
        ["d"] = Default,
        ["length"] = (v, a, _) => Length(v, a),
        ["count"] = (v, a, _) => Length(v, a),
        ["attr"] = GetAttribute,
        ["items"] = GetItems,
        ["dictsort"] = SortDictionary,
    };

    private static object? Default(object? value, TemplateArguments arguments, RenderContext context)
    {
        BoundArguments bound = arguments.Bind("default", "default_value=", "boolean=");
        return value is UndefinedValue || (bound.IsTrue(1) && !TemplateValues.IsTrue(value)) ? bound.Get(0, "") : value;
    }

    private static long Length(object? value, TemplateArguments arguments)
    {
        arguments.Bind("length");
        return TemplateValues.Length(value) ?? throw new ChatTemplateException($"{TemplateValues.DescribeType(value)} has no length" +
            (value is IteratorValue ? "; make a list of it first: | list | length" : ""));
    }

    /// <summary>An attribute and never an item.</summary>
    private static object? GetAttribute(object? value, TemplateArguments arguments, RenderContext context)
    {
        string name = arguments.Bind("attr", "name").Text(0);
        if (value is UndefinedValue undefined) throw new ChatTemplateException(undefined.Reason);
        object? attribute = TemplateAccess.FindAttribute(value, name);
        return attribute is TemplateAccess.Found found ? found.Value : attribute ?? UndefinedValue.OfItem(value, name);
    }

    private static IteratorValue GetItems(object? value, TemplateArguments arguments, RenderContext context)
    {
        arguments.Bind("items");
        return new IteratorValue(Read());

        IEnumerable<object?> Read()
        {
            if (value is UndefinedValue) yield break;
            if (value is not MappingValue map)
                throw new ChatTemplateException($"`items` needs a dictionary, not {TemplateValues.DescribeType(value)}");
            foreach (object? item in new DictionaryView(map, DictionaryViewKind.Items).Items) yield return item;
        }
    }

    private static List<object?> SortDictionary(object? value, TemplateArguments arguments, RenderContext context)
    {
        BoundArguments bound = arguments.Bind("dictsort", "case_sensitive=", "by=", "reverse=");
        string by = TemplateValues.AsText(bound.Get(1, "key")) ?? "";
        if (by is not ("key" or "value")) throw new ChatTemplateException("`dictsort` sorts by 'key' or by 'value'");
        if (value is not MappingValue map)
            throw new ChatTemplateException($"`dictsort` needs a dictionary, not {TemplateValues.DescribeType(value)}");
        Func<object?, object?> fold = ItemField.Create(null, ignoresCase: !bound.IsTrue(0));
        return StableSort.Sort([.. new DictionaryView(map, DictionaryViewKind.Items).Items],
            item => fold(((TupleValue)item!).Items[by == "key" ? 0 : 1]), bound.IsTrue(2));
    }
}
