using System.Globalization;

namespace Ndif.Tokenizers.Chat;

/// <summary>value | filter</summary>
/// <remarks>jinja2/filters.py</remarks>
internal static class Filters
{
    private delegate object? Filter(object? value, IReadOnlyList<object?> arguments, IReadOnlyDictionary<string, object?> keywords, Budget budget);

    private static readonly Dictionary<string, Filter> s_all = new(StringComparer.Ordinal)
    {
        ["trim"] = (v, a, k, b) => Methods.Find(Values.Text(v), "strip", b)!(a.Count > 0 ? a : k.TryGetValue("chars", out object? chars) ? [chars] : [], k),
        ["tojson"] = (v, a, k, b) => b.Make(Values.Json(v, (int?)Whole(a, k, 0, "indent"))),
        ["length"] = (v, _, _, _) => Length(v),
        ["count"] = (v, _, _, _) => Length(v),
        ["upper"] = (v, _, _, _) => Values.Text(v).ToUpperInvariant(),
        ["lower"] = (v, _, _, _) => Values.Text(v).ToLowerInvariant(),
        ["title"] = (v, _, _, _) => Title(Values.Text(v)),
        ["capitalize"] = (v, _, _, _) => Capitalize(Values.Text(v)),
        ["string"] = (v, _, _, _) => Values.Text(v),
        ["safe"] = (v, _, _, _) => v,
        ["escape"] = (v, _, _, b) => b.Make(Escape(Values.Text(v))),
        ["e"] = (v, _, _, b) => b.Make(Escape(Values.Text(v))),
        ["list"] = (v, _, _, _) => Values.Items(v).ToList(),
        ["int"] = (v, a, k, _) => Integer(v) ?? Whole(a, k, 0, "default") ?? 0L,
        ["float"] = (v, _, _, _) => v is string text ? double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out double real) ? real : 0.0 : Values.Number(v!),
        ["abs"] = (v, _, _, _) => v is long whole ? Math.Abs(whole) : (object)Math.Abs(Values.Number(v!)),
        ["round"] = (v, a, k, _) => Math.Round(Values.Number(v!), (int)Math.Clamp(Whole(a, k, 0, "precision") ?? 0, 0, 15)),
        ["join"] = (v, a, k, b) => b.Make(string.Join(Values.Text(Given(a, k, 0, "d") ?? ""), Values.Items(v).Select(item => Values.Text(Field(item, Given(a, k, 1, "attribute")))))),
        ["default"] = Default,
        ["d"] = Default,
        ["first"] = (v, _, _, _) => Values.Items(v) is { Count: > 0 } items ? items[0] : new Undefined("first"),
        ["last"] = (v, _, _, _) => Values.Items(v) is { Count: > 0 } items ? items[^1] : new Undefined("last"),
        ["reverse"] = (v, _, _, _) => v is string text ? string.Concat(Values.Items(text).AsEnumerable().Reverse()) : Values.Items(v).AsEnumerable().Reverse().ToList(),
        ["sort"] = Sort,
        ["unique"] = (v, _, _, b) => Unique(v, b),
        ["min"] = (v, _, _, _) => Values.Items(v) is { Count: > 0 } items ? items.Aggregate((x, y) => Values.Compare(x, y) <= 0 ? x : y) : new Undefined("min"),
        ["max"] = (v, _, _, _) => Values.Items(v) is { Count: > 0 } items ? items.Aggregate((x, y) => Values.Compare(x, y) >= 0 ? x : y) : new Undefined("max"),
        ["sum"] = (v, _, _, _) => Values.Items(v).All(i => i is long) ? Values.Items(v).Sum(i => (long)i!) : (object)Values.Items(v).Sum(i => Values.Number(i!)),
        ["replace"] = (v, a, k, b) => Replace(Values.Text(v), Values.Text(Given(a, k, 0, "old")), Values.Text(Given(a, k, 1, "new")), Whole(a, k, 2, "count") ?? -1, b),
        ["indent"] = Indent,
        ["items"] = (v, _, _, _) => v is Undefined ? new List<object?>() : Entries(Map(v)),
        ["dictsort"] = (v, _, _, _) => Entries(Map(v).OrderBy(e => e.Key, StringComparer.OrdinalIgnoreCase)),
        ["select"] = (v, a, _, b) => Chosen(v, a, 0, null, true, b),
        ["reject"] = (v, a, _, b) => Chosen(v, a, 0, null, false, b),
        ["selectattr"] = (v, a, _, b) => Chosen(v, a, 1, a.Count > 0 ? a[0] : null, true, b),
        ["rejectattr"] = (v, a, _, b) => Chosen(v, a, 1, a.Count > 0 ? a[0] : null, false, b),
        ["map"] = MapEach,
    };

    public static bool Knows(string name) => s_all.ContainsKey(name);

    public static object? Apply(string name, object? value, IReadOnlyList<object?> arguments, IReadOnlyDictionary<string, object?> keywords, Budget budget)
    {
        budget.Read(value);
        return s_all[name](value, arguments, keywords, budget);
    }

    public static List<object?> Entries(IEnumerable<KeyValuePair<string, object?>> map) => [.. map.Select(e => new Tuple([e.Key, e.Value]))];

    public static string Replace(string text, string old, string with, long most, Budget budget)
    {
        if (old.Length == 0) throw new ChatTemplateException("nothing cannot be replaced");
        string[] parts = most < 0 ? text.Split(old) : text.Split(old, (int)Math.Min(most, int.MaxValue - 1) + 1);
        budget.Make(text.Length + (long)parts.Length * with.Length);
        return string.Join(with, parts);
    }

    public static string Title(string text) => string.Concat(text.Select((c, i) =>
        i == 0 || !char.IsLetter(text[i - 1]) ? char.ToUpperInvariant(c) : char.ToLowerInvariant(c)));

    public static string Capitalize(string text) => text.Length == 0 ? text : char.ToUpperInvariant(text[0]) + text[1..].ToLowerInvariant();

    private static string Escape(string text) => text.Replace("&", "&amp;", StringComparison.Ordinal).Replace("<", "&lt;", StringComparison.Ordinal)
        .Replace(">", "&gt;", StringComparison.Ordinal).Replace("'", "&#39;", StringComparison.Ordinal).Replace("\"", "&#34;", StringComparison.Ordinal);

    private static long Length(object? value) => value is string text ? (long)text.EnumerateRunes().Count() : (long)Values.Items(value).Count;

    private static object? Default(object? value, IReadOnlyList<object?> a, IReadOnlyDictionary<string, object?> k, Budget budget) =>
        value is Undefined || (Values.IsTrue(Given(a, k, 1, "boolean")) && !Values.IsTrue(value)) ? Given(a, k, 0, "default_value") ?? "" : value;

    private static List<object?> Sort(object? value, IReadOnlyList<object?> a, IReadOnlyDictionary<string, object?> k, Budget budget)
    {
        object? field = Given(a, k, 2, "attribute");
        var byValue = Comparer<object?>.Create((x, y) => x is string s && y is string t ? string.Compare(s.ToLowerInvariant(), t.ToLowerInvariant(), StringComparison.Ordinal) : Values.Compare(x, y));
        IEnumerable<object?> sorted = Values.Items(value).OrderBy(item => Field(item, field), byValue);
        if (Values.IsTrue(Given(a, k, 0, "reverse"))) sorted = Values.Items(value).OrderByDescending(item => Field(item, field), byValue);
        try
        {
            return [.. sorted];
        }
        catch (InvalidOperationException e) when (e.InnerException is ChatTemplateException inner)
        {
            throw inner;
        }
    }

    private static List<object?> Unique(object? value, Budget budget)
    {
        List<object?> unique = [];
        foreach (object? item in Values.Items(value))
        {
            foreach (object? _ in unique) budget.Step();
            if (!unique.Exists(other => Values.Equals(other, item))) unique.Add(item);
        }
        return unique;
    }

    private static string Indent(object? value, IReadOnlyList<object?> a, IReadOnlyDictionary<string, object?> k, Budget budget)
    {
        string by = Given(a, k, 0, "width") is string text ? text : new string(' ', (int)Math.Clamp(Whole(a, k, 0, "width") ?? 4, 0, 1000));
        string[] lines = Values.Text(value).Split('\n');
        bool first = Values.IsTrue(Given(a, k, 1, "first")), blank = Values.IsTrue(Given(a, k, 2, "blank"));
        budget.Make((long)lines.Length * by.Length);
        return budget.Make(string.Join('\n', lines.Select((line, i) => (i > 0 || first) && (blank || line.Length > 0 || (i == 0 && first)) ? by + line : line)));
    }

    private static List<object?> Chosen(object? value, IReadOnlyList<object?> arguments, int testAt, object? field, bool wanted, Budget budget)
    {
        string test = arguments.Count > testAt ? arguments[testAt] as string ?? "" : "";
        if (test.Length > 0 && !Tests.Knows(test)) throw new ChatTemplateException($"the test '{test}' is not supported");
        List<object?> chosen = [];
        foreach (object? item in Values.Items(value))
        {
            budget.Step();
            object? of = Field(item, field);
            if ((test.Length == 0 ? Values.IsTrue(of) : Tests.Holds(test, of, [.. arguments.Skip(testAt + 1)])) == wanted) chosen.Add(item);
        }
        return chosen;
    }

    private static List<object?> MapEach(object? value, IReadOnlyList<object?> a, IReadOnlyDictionary<string, object?> k, Budget budget)
    {
        List<object?> mapped = [];
        string? filter = a.Count > 0 ? a[0] as string : null;
        if (filter is not null && !Knows(filter)) throw new ChatTemplateException($"the filter '{filter}' is not supported");
        foreach (object? item in Values.Items(value))
        {
            budget.Step();
            if (filter is not null) mapped.Add(Apply(filter, item, [.. a.Skip(1)], k, budget));
            else mapped.Add(Field(item, k.GetValueOrDefault("attribute")) is var found && found is Undefined && k.TryGetValue("default", out object? otherwise) ? otherwise : found);
        }
        return mapped;
    }

    /// <summary>An item's field, "a.b" for a field of a field; the item itself without one.</summary>
    private static object? Field(object? item, object? field)
    {
        if (field is null) return item;
        foreach (string name in Values.Text(field).Split('.'))
        {
            item = item switch
            {
                Dictionary<string, object?> map when map.TryGetValue(name, out object? value) => value,
                List<object?> list when int.TryParse(name, CultureInfo.InvariantCulture, out int at) && at >= 0 && at < list.Count => list[at],
                _ => new Undefined(name),
            };
        }
        return item;
    }

    private static Dictionary<string, object?> Map(object? value) =>
        value as Dictionary<string, object?> ?? throw new ChatTemplateException($"{Values.Kind(value)} is no dictionary");

    private static object? Integer(object? value) => value switch
    {
        long whole => whole,
        bool flag => flag ? 1L : 0L,
        double real when Math.Abs(real) < 9e18 => (long)real,
        string text when long.TryParse(text.Trim(), NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out long whole) => whole,
        string text when double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out double real) && Math.Abs(real) < 9e18 => (long)real,
        _ => null,
    };

    private static object? Given(IReadOnlyList<object?> arguments, IReadOnlyDictionary<string, object?> keywords, int at, string name) =>
        at < arguments.Count ? arguments[at] : keywords.GetValueOrDefault(name);

    private static long? Whole(IReadOnlyList<object?> arguments, IReadOnlyDictionary<string, object?> keywords, int at, string name) => Given(arguments, keywords, at, name) switch
    {
        null => null,
        long whole => whole is >= -100_000 and <= 100_000 ? whole : throw new ChatTemplateException($"{whole} is too large for `{name}`"),
        object other => throw new ChatTemplateException($"`{name}` must be a whole number, not {Values.Kind(other)}"),
    };
}
