namespace Ndif.Tokenizers.Chat.Methods;

/// <summary>The methods of dictionaries, lists, tuples and ranges that do not change the value.</summary>
/// <remarks>docs.python.org/3/library/stdtypes.html; jinja2/sandbox.py, ImmutableSandboxedEnvironment</remarks>
internal static class CollectionMethods
{
    private static readonly HashSet<string> _listChanges = ["append", "extend", "insert", "pop", "remove", "clear", "sort", "reverse"];
    private static readonly HashSet<string> _dictionaryChanges = ["update", "pop", "clear", "setdefault", "popitem"];

    /// <summary>Returns a method of a value, or null if values of this type have no method of this name.</summary>
    public static object? Find(object? target, string name) => target switch
    {
        MappingValue map => FindDictionaryMethod(map, name),
        List<object?> list when _listChanges.Contains(name) => UndefinedValue.OfUnsafe(name),
        List<object?> list when name == "copy" => (TemplateFunction)((a, c) =>
        {
            a.Bind("copy");
            c.Budget.CountRead(list);
            return list.ToList();
        }),
        List<object?> list => FindSequenceMethod(list, name),
        TupleValue tuple when tuple.Names?.ToList().IndexOf(name) is >= 0 and int index => TemplateAccess.Wrap(tuple.Items[index]),
        TupleValue tuple => FindSequenceMethod(tuple.Items, name),
        RangeValue range => name switch
        {
            "start" => TemplateAccess.Wrap(range.Start),
            "stop" => TemplateAccess.Wrap(range.Stop),
            "step" => TemplateAccess.Wrap(range.Step),
            _ => FindSequenceMethod(range.Items, name),
        },
        DictionaryView view => name switch
        {
            "mapping" => TemplateAccess.Wrap(view.Mapping),
            "isdisjoint" when view.Kind != DictionaryViewKind.Values =>
                throw new ChatTemplateException("the method `isdisjoint` is not supported"),
            _ => null,
        },
        _ => null,
    };

    private static object? FindDictionaryMethod(MappingValue map, string name)
    {
        if (_dictionaryChanges.Contains(name)) return UndefinedValue.OfUnsafe(name);
        if (name == "fromkeys") throw new ChatTemplateException("the method `fromkeys` is not supported");
        TemplateFunction? method = name switch
        {
            "get" => (a, _) => a.Bind("get", "/key", "/default=") is var bound && map.TryGetValue(bound[0], out object? value) ? value
                : bound[1],
            "items" => (a, _) => View(a, DictionaryViewKind.Items),
            "keys" => (a, _) => View(a, DictionaryViewKind.Keys),
            "values" => (a, _) => View(a, DictionaryViewKind.Values),
            "copy" => (a, c) =>
            {
                a.Bind("copy");
                c.Budget.CountOutput(map.Count);
                return new MappingValue(map);
            },
            _ => null,
        };
        return method;

        DictionaryView View(TemplateArguments arguments, DictionaryViewKind kind)
        {
            arguments.Bind(name);
            return new DictionaryView(map, kind);
        }
    }

    private static TemplateFunction? FindSequenceMethod(IEnumerable<object?> items, string name) => name switch
    {
        "index" => (a, c) => IndexOf(items, a.Bind("index", "/value", "/start=", "/stop="), c),
        "count" => (a, c) =>
        {
            object? value = a.Bind("count", "/value")[0];
            return items.LongCount(item => Matches(item, value, c));
        },
        _ => null,
    };

    private static long IndexOf(IEnumerable<object?> items, BoundArguments arguments, RenderContext context)
    {
        long count = items.LongCount(), start = Adjust(arguments.Integer(1, 0)), stop = Adjust(arguments.Integer(2, long.MaxValue)),
            index = 0;
        foreach (object? item in items)
        {
            if (index >= start && index < stop && Matches(item, arguments[0], context)) return index;
            index++;
        }
        throw new ChatTemplateException("the list does not contain the argument of `index`");

        long Adjust(long bound) => bound < 0 ? Math.Max(0, bound + count) : bound;
    }

    private static bool Matches(object? item, object? value, RenderContext context)
    {
        context.Budget.CountStep();
        return TemplateValues.AreEqual(item, value);
    }
}
