using System.Globalization;
using static Ndif.Tokenizers.Chat.TemplateValueFormatter;
using static Ndif.Tokenizers.Chat.TemplateValues;

namespace Ndif.Tokenizers.Chat;

/// <summary>The filters of <c>value | filter(arguments)</c>.</summary>
/// <remarks>jinja2/filters.py</remarks>
internal static class TemplateFilters
{
    private delegate object? Filter(object? value, TemplateArguments arguments, RenderBudget budget);

    private static readonly Dictionary<string, Filter> _filters = new(StringComparer.Ordinal)
    {
        ["trim"] = (v, a, _) => StringFunctions.Strip(ToText(v), a.Get(0, "chars") as string, true, true),
        ["tojson"] = (v, a, b) => b.CountOutput(ToJson(v, (int?)a.GetInteger(0, "indent"))),
        ["length"] = (v, _, _) => Length(v),
        ["count"] = (v, _, _) => Length(v),
        ["upper"] = (v, _, _) => ToText(v).ToUpperInvariant(),
        ["lower"] = (v, _, _) => ToText(v).ToLowerInvariant(),
        ["title"] = (v, _, _) => StringFunctions.Title(ToText(v)),
        ["capitalize"] = (v, _, _) => StringFunctions.Capitalize(ToText(v)),
        ["string"] = (v, _, _) => ToText(v),
        ["safe"] = (v, _, _) => v,
        ["escape"] = (v, _, b) => b.CountOutput(StringFunctions.Escape(ToText(v))),
        ["e"] = (v, _, b) => b.CountOutput(StringFunctions.Escape(ToText(v))),
        ["list"] = (v, _, _) => Items(v).ToList(),
        ["int"] = (v, a, _) => ToInteger(v) ?? a.GetInteger(0, "default") ?? 0L,
        ["float"] = (v, _, _) => ToReal(v),
        ["abs"] = (v, _, _) => v is long integer ? Math.Abs(integer) : (object)Math.Abs(ToDouble(v!)),
        ["round"] = (v, a, _) => Math.Round(ToDouble(v!), (int)Math.Clamp(a.GetInteger(0, "precision") ?? 0, 0, 15)),
        ["join"] = (v, a, b) => b.CountOutput(string.Join(ToText(a.Get(0, "d") ?? ""),
            Items(v).Select(item => ToText(SequenceFilters.GetField(item, a.Get(1, "attribute")))))),
        ["default"] = Default,
        ["d"] = Default,
        ["first"] = (v, _, _) => Items(v) is { Count: > 0 } items ? items[0] : new UndefinedValue("first"),
        ["last"] = (v, _, _) => Items(v) is { Count: > 0 } items ? items[^1] : new UndefinedValue("last"),
        ["reverse"] = SequenceFilters.Reverse,
        ["sort"] = SequenceFilters.Sort,
        ["unique"] = SequenceFilters.Unique,
        ["min"] = (v, _, _) => Items(v) is { Count: > 0 } items
            ? items.Aggregate((x, y) => Compare(x, y) <= 0 ? x : y) : new UndefinedValue("min"),
        ["max"] = (v, _, _) => Items(v) is { Count: > 0 } items
            ? items.Aggregate((x, y) => Compare(x, y) >= 0 ? x : y) : new UndefinedValue("max"),
        ["sum"] = (v, _, _) => Items(v).All(item => item is long)
            ? Items(v).Sum(item => (long)item!) : (object)Items(v).Sum(item => ToDouble(item!)),
        ["replace"] = (v, a, b) => StringFunctions.Replace(
            ToText(v), ToText(a.Get(0, "old")), ToText(a.Get(1, "new")), a.GetInteger(2, "count") ?? -1, b),
        ["indent"] = Indent,
        ["items"] = (v, _, _) => v is UndefinedValue ? new List<object?>() : Entries(RequireDictionary(v)),
        ["dictsort"] = (v, _, _) => Entries(RequireDictionary(v).OrderBy(entry => entry.Key, StringComparer.OrdinalIgnoreCase)),
        ["select"] = (v, a, b) => SequenceFilters.Select(v, null, [.. a.Positional], true, b),
        ["reject"] = (v, a, b) => SequenceFilters.Select(v, null, [.. a.Positional], false, b),
        ["selectattr"] = (v, a, b) => SequenceFilters.Select(v, a.First, [.. a.Positional.Skip(1)], true, b),
        ["rejectattr"] = (v, a, b) => SequenceFilters.Select(v, a.First, [.. a.Positional.Skip(1)], false, b),
        ["map"] = SequenceFilters.Map,
    };

    public static bool Contains(string name) => _filters.ContainsKey(name);

    public static object? Apply(string name, object? value, TemplateArguments arguments, RenderBudget budget)
    {
        budget.CountRead(value);
        return _filters[name](value, arguments, budget);
    }

    /// <summary>The entries of a dictionary as tuples of key and value.</summary>
    public static List<object?> Entries(IEnumerable<KeyValuePair<string, object?>> map) =>
        [.. map.Select(entry => new TupleValue([entry.Key, entry.Value]))];

    private static long Length(object? value) => value is string text ? text.EnumerateRunes().Count() : Items(value).Count;

    private static object? Default(object? value, TemplateArguments arguments, RenderBudget budget)
    {
        bool replacesFalse = IsTrue(arguments.Get(1, "boolean"));
        return value is UndefinedValue || (replacesFalse && !IsTrue(value)) ? arguments.Get(0, "default_value") ?? "" : value;
    }

    private static string Indent(object? value, TemplateArguments arguments, RenderBudget budget)
    {
        string indent = arguments.Get(0, "width") is string text ? text
            : new string(' ', (int)Math.Clamp(arguments.GetInteger(0, "width") ?? 4, 0, 1000));
        string[] lines = ToText(value).Split('\n');
        bool indentFirst = IsTrue(arguments.Get(1, "first")), indentBlank = IsTrue(arguments.Get(2, "blank"));
        budget.CountOutput((long)lines.Length * indent.Length);
        return budget.CountOutput(string.Join('\n', lines.Select((line, i) => IsIndented(line, i) ? indent + line : line)));

        bool IsIndented(string line, int index) => index == 0 ? indentFirst : indentBlank || line.Length > 0;
    }

    private static Dictionary<string, object?> RequireDictionary(object? value) =>
        value as Dictionary<string, object?> ?? throw new ChatTemplateException($"{DescribeType(value)} is not a dictionary");

    private static object? ToInteger(object? value) => value switch
    {
        long integer => integer,
        bool boolean => boolean ? 1L : 0L,
        double real when Math.Abs(real) < 9e18 => (long)real,
        string text when long.TryParse(
            text.Trim(), NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out long integer) => integer,
        string text when TryParseReal(text, out double real) && Math.Abs(real) < 9e18 => (long)real,
        _ => null,
    };

    private static double ToReal(object? value) =>
        value is not string text ? ToDouble(value!) : TryParseReal(text, out double real) ? real : 0.0;

    private static bool TryParseReal(string text, out double real) =>
        double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out real);
}
