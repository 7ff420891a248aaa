using System.Globalization;

namespace Ndif.Tokenizers.Chat;

/// <summary>value | filter</summary>
/// <remarks>jinja2/filters.py</remarks>
internal static class TemplateFilters
{
    private delegate object? Filter(object? value, IReadOnlyList<object?> arguments, IReadOnlyDictionary<string, object?> keywords, RenderBudget budget);

    private static readonly Dictionary<string, Filter> _filters = new(StringComparer.Ordinal)
    {
        ["trim"] = (v, a, k, b) => TemplateMethods.Find(TemplateValues.ToText(v), "strip", b)!(a.Count > 0 ? a : k.TryGetValue("chars", out object? chars) ? [chars] : [], k),
        ["tojson"] = (v, a, k, b) => b.CountOutput(TemplateValues.ToJson(v, (int?)GetIntegerArgument(a, k, 0, "indent"))),
        ["length"] = (v, _, _, _) => Length(v),
        ["count"] = (v, _, _, _) => Length(v),
        ["upper"] = (v, _, _, _) => TemplateValues.ToText(v).ToUpperInvariant(),
        ["lower"] = (v, _, _, _) => TemplateValues.ToText(v).ToLowerInvariant(),
        ["title"] = (v, _, _, _) => Title(TemplateValues.ToText(v)),
        ["capitalize"] = (v, _, _, _) => Capitalize(TemplateValues.ToText(v)),
        ["string"] = (v, _, _, _) => TemplateValues.ToText(v),
        ["safe"] = (v, _, _, _) => v,
        ["escape"] = (v, _, _, b) => b.CountOutput(Escape(TemplateValues.ToText(v))),
        ["e"] = (v, _, _, b) => b.CountOutput(Escape(TemplateValues.ToText(v))),
        ["list"] = (v, _, _, _) => TemplateValues.Items(v).ToList(),
        ["int"] = (v, a, k, _) => ToInteger(v) ?? GetIntegerArgument(a, k, 0, "default") ?? 0L,
        ["float"] = (v, _, _, _) => v is string text ? double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out double real) ? real : 0.0 : TemplateValues.ToDouble(v!),
        ["abs"] = (v, _, _, _) => v is long whole ? Math.Abs(whole) : (object)Math.Abs(TemplateValues.ToDouble(v!)),
        ["round"] = (v, a, k, _) => Math.Round(TemplateValues.ToDouble(v!), (int)Math.Clamp(GetIntegerArgument(a, k, 0, "precision") ?? 0, 0, 15)),
        ["join"] = (v, a, k, b) => b.CountOutput(string.Join(TemplateValues.ToText(GetArgument(a, k, 0, "d") ?? ""), TemplateValues.Items(v).Select(item => TemplateValues.ToText(GetField(item, GetArgument(a, k, 1, "attribute")))))),
        ["default"] = Default,
        ["d"] = Default,
        ["first"] = (v, _, _, _) => TemplateValues.Items(v) is { Count: > 0 } items ? items[0] : new UndefinedValue("first"),
        ["last"] = (v, _, _, _) => TemplateValues.Items(v) is { Count: > 0 } items ? items[^1] : new UndefinedValue("last"),
        ["reverse"] = (v, _, _, _) => v is string text ? string.Concat(TemplateValues.Items(text).AsEnumerable().Reverse()) : TemplateValues.Items(v).AsEnumerable().Reverse().ToList(),
        ["sort"] = Sort,
        ["unique"] = (v, _, _, b) => Unique(v, b),
        ["min"] = (v, _, _, _) => TemplateValues.Items(v) is { Count: > 0 } items ? items.Aggregate((x, y) => TemplateValues.Compare(x, y) <= 0 ? x : y) : new UndefinedValue("min"),
        ["max"] = (v, _, _, _) => TemplateValues.Items(v) is { Count: > 0 } items ? items.Aggregate((x, y) => TemplateValues.Compare(x, y) >= 0 ? x : y) : new UndefinedValue("max"),
        ["sum"] = (v, _, _, _) => TemplateValues.Items(v).All(i => i is long) ? TemplateValues.Items(v).Sum(i => (long)i!) : (object)TemplateValues.Items(v).Sum(i => TemplateValues.ToDouble(i!)),
        ["replace"] = (v, a, k, b) => Replace(TemplateValues.ToText(v), TemplateValues.ToText(GetArgument(a, k, 0, "old")), TemplateValues.ToText(GetArgument(a, k, 1, "new")), GetIntegerArgument(a, k, 2, "count") ?? -1, b),
        ["indent"] = Indent,
        ["items"] = (v, _, _, _) => v is UndefinedValue ? new List<object?>() : Entries(RequireDictionary(v)),
        ["dictsort"] = (v, _, _, _) => Entries(RequireDictionary(v).OrderBy(e => e.Key, StringComparer.OrdinalIgnoreCase)),
        ["select"] = (v, a, _, b) => SelectItems(v, a, 0, null, true, b),
        ["reject"] = (v, a, _, b) => SelectItems(v, a, 0, null, false, b),
        ["selectattr"] = (v, a, _, b) => SelectItems(v, a, 1, a.Count > 0 ? a[0] : null, true, b),
        ["rejectattr"] = (v, a, _, b) => SelectItems(v, a, 1, a.Count > 0 ? a[0] : null, false, b),
        ["map"] = MapItems,
    };

    public static bool Contains(string name) => _filters.ContainsKey(name);

    public static object? Apply(string name, object? value, IReadOnlyList<object?> arguments, IReadOnlyDictionary<string, object?> keywords, RenderBudget budget)
    {
        budget.CountRead(value);
        return _filters[name](value, arguments, keywords, budget);
    }

    public static List<object?> Entries(IEnumerable<KeyValuePair<string, object?>> map) => [.. map.Select(e => new TupleValue([e.Key, e.Value]))];

    public static string Replace(string text, string old, string with, long maxCount, RenderBudget budget)
    {
        if (old.Length == 0) throw new ChatTemplateException("nothing cannot be replaced");
        string[] parts = maxCount < 0 ? text.Split(old) : text.Split(old, (int)Math.Min(maxCount, int.MaxValue - 1) + 1);
        budget.CountOutput(text.Length + (long)parts.Length * with.Length);
        return string.Join(with, parts);
    }

    public static string Title(string text) => string.Concat(text.Select((c, i) =>
        i == 0 || !char.IsLetter(text[i - 1]) ? char.ToUpperInvariant(c) : char.ToLowerInvariant(c)));

    public static string Capitalize(string text) => text.Length == 0 ? text : char.ToUpperInvariant(text[0]) + text[1..].ToLowerInvariant();

    private static string Escape(string text) => text.Replace("&", "&amp;", StringComparison.Ordinal).Replace("<", "&lt;", StringComparison.Ordinal)
        .Replace(">", "&gt;", StringComparison.Ordinal).Replace("'", "&#39;", StringComparison.Ordinal).Replace("\"", "&#34;", StringComparison.Ordinal);

    private static long Length(object? value) => value is string text ? (long)text.EnumerateRunes().Count() : (long)TemplateValues.Items(value).Count;

    private static object? Default(object? value, IReadOnlyList<object?> a, IReadOnlyDictionary<string, object?> k, RenderBudget budget) =>
        value is UndefinedValue || (TemplateValues.IsTrue(GetArgument(a, k, 1, "boolean")) && !TemplateValues.IsTrue(value)) ? GetArgument(a, k, 0, "default_value") ?? "" : value;

    private static List<object?> Sort(object? value, IReadOnlyList<object?> a, IReadOnlyDictionary<string, object?> k, RenderBudget budget)
    {
        object? field = GetArgument(a, k, 2, "attribute");
        var byValue = Comparer<object?>.Create((x, y) => x is string s && y is string t ? string.Compare(s.ToLowerInvariant(), t.ToLowerInvariant(), StringComparison.Ordinal) : TemplateValues.Compare(x, y));
        IEnumerable<object?> sorted = TemplateValues.Items(value).OrderBy(item => GetField(item, field), byValue);
        if (TemplateValues.IsTrue(GetArgument(a, k, 0, "reverse"))) sorted = TemplateValues.Items(value).OrderByDescending(item => GetField(item, field), byValue);
        try
        {
            return [.. sorted];
        }
        catch (InvalidOperationException e) when (e.InnerException is ChatTemplateException inner)
        {
            throw inner;
        }
    }

    private static List<object?> Unique(object? value, RenderBudget budget)
    {
        List<object?> unique = [];
        foreach (object? item in TemplateValues.Items(value))
        {
            foreach (object? _ in unique) budget.CountStep();
            if (!unique.Exists(other => TemplateValues.Equals(other, item))) unique.Add(item);
        }
        return unique;
    }

    private static string Indent(object? value, IReadOnlyList<object?> a, IReadOnlyDictionary<string, object?> k, RenderBudget budget)
    {
        string by = GetArgument(a, k, 0, "width") is string text ? text : new string(' ', (int)Math.Clamp(GetIntegerArgument(a, k, 0, "width") ?? 4, 0, 1000));
        string[] lines = TemplateValues.ToText(value).Split('\n');
        bool first = TemplateValues.IsTrue(GetArgument(a, k, 1, "first")), blank = TemplateValues.IsTrue(GetArgument(a, k, 2, "blank"));
        budget.CountOutput((long)lines.Length * by.Length);
        return budget.CountOutput(string.Join('\n', lines.Select((line, i) => (i > 0 || first) && (blank || line.Length > 0 || (i == 0 && first)) ? by + line : line)));
    }

    private static List<object?> SelectItems(object? value, IReadOnlyList<object?> arguments, int testAt, object? field, bool wanted, RenderBudget budget)
    {
        string test = arguments.Count > testAt ? arguments[testAt] as string ?? "" : "";
        if (test.Length > 0 && !TemplateTestFunctions.Contains(test)) throw new ChatTemplateException($"the test '{test}' is not supported");
        List<object?> chosen = [];
        foreach (object? item in TemplateValues.Items(value))
        {
            budget.CountStep();
            object? of = GetField(item, field);
            if ((test.Length == 0 ? TemplateValues.IsTrue(of) : TemplateTestFunctions.Evaluate(test, of, [.. arguments.Skip(testAt + 1)])) == wanted) chosen.Add(item);
        }
        return chosen;
    }

    private static List<object?> MapItems(object? value, IReadOnlyList<object?> a, IReadOnlyDictionary<string, object?> k, RenderBudget budget)
    {
        List<object?> mapped = [];
        string? filter = a.Count > 0 ? a[0] as string : null;
        if (filter is not null && !Contains(filter)) throw new ChatTemplateException($"the filter '{filter}' is not supported");
        foreach (object? item in TemplateValues.Items(value))
        {
            budget.CountStep();
            if (filter is not null) mapped.Add(Apply(filter, item, [.. a.Skip(1)], k, budget));
            else mapped.Add(GetField(item, k.GetValueOrDefault("attribute")) is var found && found is UndefinedValue && k.TryGetValue("default", out object? otherwise) ? otherwise : found);
        }
        return mapped;
    }

    /// <summary>An item's field, "a.b" for a field of a field; the item itself without one.</summary>
    private static object? GetField(object? item, object? field)
    {
        if (field is null) return item;
        foreach (string name in TemplateValues.ToText(field).Split('.'))
        {
            item = item switch
            {
                Dictionary<string, object?> map when map.TryGetValue(name, out object? value) => value,
                List<object?> list when int.TryParse(name, CultureInfo.InvariantCulture, out int at) && at >= 0 && at < list.Count => list[at],
                _ => new UndefinedValue(name),
            };
        }
        return item;
    }

    private static Dictionary<string, object?> RequireDictionary(object? value) =>
        value as Dictionary<string, object?> ?? throw new ChatTemplateException($"{TemplateValues.DescribeType(value)} is no dictionary");

    private static object? ToInteger(object? value) => value switch
    {
        long whole => whole,
        bool flag => flag ? 1L : 0L,
        double real when Math.Abs(real) < 9e18 => (long)real,
        string text when long.TryParse(text.Trim(), NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out long whole) => whole,
        string text when double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out double real) && Math.Abs(real) < 9e18 => (long)real,
        _ => null,
    };

    private static object? GetArgument(IReadOnlyList<object?> arguments, IReadOnlyDictionary<string, object?> keywords, int at, string name) =>
        at < arguments.Count ? arguments[at] : keywords.GetValueOrDefault(name);

    private static long? GetIntegerArgument(IReadOnlyList<object?> arguments, IReadOnlyDictionary<string, object?> keywords, int at, string name) => GetArgument(arguments, keywords, at, name) switch
    {
        null => null,
        long whole => whole is >= -100_000 and <= 100_000 ? whole : throw new ChatTemplateException($"{whole} is too large for `{name}`"),
        object other => throw new ChatTemplateException($"`{name}` must be a whole number, not {TemplateValues.DescribeType(other)}"),
    };
}
