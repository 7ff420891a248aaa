namespace Ndif.Tokenizers.Chat.Filters;

/// <summary>The filters that order, group and reduce the items of a sequence.</summary>
/// <remarks>jinja2/filters.py</remarks>
internal static class SequenceFilters
{
    public static Dictionary<string, TemplateFilter> All { get; } = new()
    {
        ["list"] = (v, a, _) => { a.Bind("list"); return TemplateValues.Iterate(v).ToList(); },
        ["first"] = (v, a, _) => { a.Bind("first"); return FirstOf(TemplateValues.Iterate(v), "first"); },
        ["last"] = (v, a, _) => { a.Bind("last"); return FirstOf(Reversed(v) ?? throw CreateException("last", v), "last"); },
        ["reverse"] = Reverse,
        ["join"] = Join,
        ["sort"] = Sort,
        ["unique"] = Unique,
        ["min"] = (v, a, c) => FindExtreme("min", v, a, c, -1),
        ["max"] = (v, a, c) => FindExtreme("max", v, a, c, 1),
        ["sum"] = Sum,
        ["groupby"] = GroupBy,
        ["batch"] = Batch,
        ["slice"] = Slice,
    };

    private static object? FirstOf(IEnumerable<object?> items, string filter)
    {
        foreach (object? item in items) return item;
        return new UndefinedValue($"the sequence is empty, so it has no {filter} item");
    }

    /// <summary>Python's reversed(), or null if the value cannot be reversed without reading it first.</summary>
    private static IEnumerable<object?>? Reversed(object? value) => value switch
    {
        UndefinedValue => [],
        IteratorValue => null,
        _ => TemplateValues.IsIterable(value) ? TemplateValues.Iterate(value).Reverse() : null,
    };

    private static object? Reverse(object? value, TemplateArguments arguments, RenderContext context)
    {
        arguments.Bind("reverse");
        if (value is string or MarkupValue) return TemplateAccess.Slice(value, null, null, -1L);
        if (value is IteratorValue) return TemplateValues.Iterate(value).Reverse().ToList();
        return new IteratorValue(Reversed(value) ?? throw CreateException("reverse", value));
    }

    private static string Join(object? value, TemplateArguments arguments, RenderContext context)
    {
        BoundArguments bound = arguments.Bind("join", "d=", "attribute=");
        Func<object?, object?> get = ItemField.Create(bound[1]);
        string separator = TemplateValueFormatter.ToText(bound.Get(0, ""));
        List<string> texts = [];
        foreach (object? item in TemplateValues.Iterate(value))
        {
            string text = TemplateValueFormatter.ToText(get(item));
            context.Budget.CountOutput(text.Length + (long)separator.Length);
            texts.Add(text);
        }
        return string.Join(separator, texts);
    }

    private static List<object?> Sort(object? value, TemplateArguments arguments, RenderContext context)
    {
        BoundArguments bound = arguments.Bind("sort", "reverse=", "case_sensitive=", "attribute=");
        return StableSort.Sort([.. TemplateValues.Iterate(value)], ItemField.CreateList(bound[2], !bound.IsTrue(1)), bound.IsTrue(0));
    }

    private static IteratorValue Unique(object? value, TemplateArguments arguments, RenderContext context)
    {
        BoundArguments bound = arguments.Bind("unique", "case_sensitive=", "attribute=");
        return new IteratorValue(Select(ItemField.Create(bound[1], !bound.IsTrue(0))));

        IEnumerable<object?> Select(Func<object?, object?> get)
        {
            MappingValue seen = new();
            foreach (object? item in TemplateValues.Iterate(value))
            {
                object? key = get(item);
                if (seen.ContainsKey(key)) continue;
                seen[key] = null;
                yield return item;
            }
        }
    }

    private static object? FindExtreme(string name, object? value, TemplateArguments arguments, RenderContext context, int sign)
    {
        BoundArguments bound = arguments.Bind(name, "case_sensitive=", "attribute=");
        Func<object?, object?> get = ItemField.Create(bound[1], !bound.IsTrue(0));
        object? best = new UndefinedValue($"the sequence is empty, so it has no {name} item"), bestKey = TemplateFrame.Missing;
        foreach (object? item in TemplateValues.Iterate(value))
        {
            context.Budget.CountStep();
            object? key = get(item);
            if (ReferenceEquals(bestKey, TemplateFrame.Missing) || TemplateValues.Compare(sign > 0 ? ">" : "<", key, bestKey))
                (best, bestKey) = (item, key);
        }
        return best;
    }

    private static object? Sum(object? value, TemplateArguments arguments, RenderContext context)
    {
        BoundArguments bound = arguments.Bind("sum", "attribute=", "start=");
        Func<object?, object?> get = ItemField.Create(bound[0]);
        object? sum = bound.Get(1, 0L);
        if (TemplateValues.AsText(sum) is not null) throw new ChatTemplateException("`sum` does not add texts; use join");
        foreach (object? item in TemplateValues.Iterate(value))
        {
            context.Budget.CountStep();
            sum = TemplateOperators.Compute("+", sum, get(item), context);
        }
        return sum;
    }

    private static List<object?> GroupBy(object? value, TemplateArguments arguments, RenderContext context)
    {
        BoundArguments bound = arguments.Bind("groupby", "attribute", "default=", "case_sensitive=");
        bool ignoresCase = !bound.IsTrue(2);
        Func<object?, object?> get = ItemField.Create(bound[0], ignoresCase, bound[1]),
            getShown = ItemField.Create(bound[0], false, bound[1]);
        List<object?> groups = [], current = [];
        object? key = TemplateFrame.Missing;
        foreach (object? item in StableSort.Sort([.. TemplateValues.Iterate(value)], get, false))
        {
            object? itemKey = get(item);
            if (ReferenceEquals(key, TemplateFrame.Missing) || !TemplateValues.AreEqual(key, itemKey))
            {
                current = [];
                groups.Add(new TupleValue([getShown(item), current], ["grouper", "list"]));
                key = itemKey;
            }
            current.Add(item);
        }
        return groups;
    }

    private static IteratorValue Batch(object? value, TemplateArguments arguments, RenderContext context)
    {
        BoundArguments bound = arguments.Bind("batch", "linecount", "fill_with=");
        object? size = bound[0], fill = bound[1];
        return new IteratorValue(Split());

        IEnumerable<object?> Split()
        {
            List<object?> batch = [];
            foreach (object? item in TemplateValues.Iterate(value))
            {
                context.Budget.CountStep();
                if (TemplateValues.AreEqual((long)batch.Count, size))
                {
                    yield return batch;
                    batch = [];
                }
                batch.Add(item);
            }
            if (batch.Count == 0) yield break;
            if (fill is not null)
            {
                long count = bound.Integer(0);
                context.Budget.CountOutput(Math.Max(0, count));
                while (batch.Count < count) batch.Add(fill);
            }
            yield return batch;
        }
    }

    private static IteratorValue Slice(object? value, TemplateArguments arguments, RenderContext context)
    {
        BoundArguments bound = arguments.Bind("slice", "slices", "fill_with=");
        return new IteratorValue(Split());

        IEnumerable<object?> Split()
        {
            List<object?> items = [.. TemplateValues.Iterate(value)];
            long slices = bound.Integer(0);
            if (slices == 0) throw new ChatTemplateException("a number is divided by zero");
            long size = items.Count / slices, withExtra = items.Count % slices, start = 0;
            for (long i = 0; i < slices; i++)
            {
                context.Budget.CountStep();
                long end = start + size + (i < withExtra ? 1 : 0);
                List<object?> slice = items[(int)start..(int)end];
                if (bound[1] is { } fill && i >= withExtra) slice.Add(fill);
                yield return slice;
                start = end;
            }
        }
    }

    private static ChatTemplateException CreateException(string filter, object? value) =>
        new($"`{filter}` does not go with {TemplateValues.DescribeType(value)}");
}
