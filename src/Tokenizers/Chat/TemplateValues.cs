using System.Collections;
using System.Globalization;
using System.Text;
using System.Text.Json;

namespace Ndif.Tokenizers.Chat;

/// <summary>What a name has that was never given: empty where it is printed or looped over, an error where more is asked of it.</summary>
internal sealed record UndefinedValue(string Name);

/// <summary>A list that prints in parentheses.</summary>
internal sealed class TupleValue(IEnumerable<object?> items) : List<object?>(items);

/// <summary>A function that a template can call.</summary>
internal delegate object? TemplateFunction(IReadOnlyList<object?> arguments, IReadOnlyDictionary<string, object?> keywords);

/// <summary>namespace(): the one thing that a template can change from within a loop.</summary>
internal sealed class NamespaceValue(IReadOnlyDictionary<string, object?> fields)
{
    public Dictionary<string, object?> Fields { get; } = new(fields, StringComparer.Ordinal);
}

/// <summary>
/// A template's values with Python's meanings: null, bool, long, double, string, List, Dictionary by text in the order of its making,
/// <see cref="UndefinedValue"/>, <see cref="NamespaceValue"/>, <see cref="TemplateFunction"/>.
/// </summary>
internal static class TemplateValues
{

    /// <summary>From what a caller has.</summary>
    public static object? From(object? value, int depth = 0)
    {
        if (depth > RenderBudget.MaxDepth) throw new ChatTemplateException("a value is nested too deeply");
        return value switch
        {
            null or bool or long or double or string => value,
            sbyte or byte or short or ushort or int or uint => Convert.ToInt64(value, CultureInfo.InvariantCulture),
            float or decimal => Convert.ToDouble(value, CultureInfo.InvariantCulture),
            JsonElement json => FromJson(json, depth),
            ChatMessage message => FromMessage(message, depth),
            IReadOnlyDictionary<string, object?> map => map.ToDictionary(e => e.Key, e => From(e.Value, depth + 1), StringComparer.Ordinal),
            IDictionary<string, object?> map => map.ToDictionary(e => e.Key, e => From(e.Value, depth + 1), StringComparer.Ordinal),
            IEnumerable items => items.Cast<object?>().Select(item => From(item, depth + 1)).ToList(),
            _ => throw new ArgumentException($"A {value.GetType().Name} cannot be a template's value; pass texts, numbers, flags, lists and dictionaries of them."),
        };
    }

    private static object? FromJson(JsonElement json, int depth) => json.ValueKind switch
    {
        JsonValueKind.Object => json.EnumerateObject().ToDictionary(p => p.Name, p => From(p.Value, depth + 1), StringComparer.Ordinal),
        JsonValueKind.Array => json.EnumerateArray().Select(item => From(item, depth + 1)).ToList(),
        JsonValueKind.String => json.GetString(),
        JsonValueKind.Number => json.TryGetInt64(out long whole) ? whole : (object)json.GetDouble(),
        JsonValueKind.True => true,
        JsonValueKind.False => false,
        _ => null,
    };

    private static Dictionary<string, object?> FromMessage(ChatMessage message, int depth)
    {
        Dictionary<string, object?> fields = new(StringComparer.Ordinal) { ["role"] = message.Role, ["content"] = message.Content };
        foreach (var (key, value) in message.AdditionalFields ?? new Dictionary<string, object?>()) fields[key] = From(value, depth + 1);
        return fields;
    }

    public static bool IsTrue(object? value) => value switch
    {
        null or UndefinedValue => false,
        bool flag => flag,
        long whole => whole != 0,
        double real => real != 0,
        string text => text.Length > 0,
        ICollection items => items.Count > 0,
        _ => true,
    };

    public static new bool Equals(object? a, object? b) => (a, b) switch
    {
        (null, null) => true,
        (UndefinedValue, UndefinedValue) => true,
        (bool or long or double, bool or long or double) => ToDouble(a!) == ToDouble(b!),
        (string x, string y) => string.Equals(x, y, StringComparison.Ordinal),
        (List<object?> x, List<object?> y) => x.Count == y.Count && x.Zip(y).All(pair => Equals(pair.First, pair.Second)),
        (Dictionary<string, object?> x, Dictionary<string, object?> y) => x.Count == y.Count && x.All(e => y.TryGetValue(e.Key, out object? other) && Equals(e.Value, other)),
        _ => ReferenceEquals(a, b),
    };

    public static int Compare(object? a, object? b) => (a, b) switch
    {
        (bool or long or double, bool or long or double) => ToDouble(a!).CompareTo(ToDouble(b!)),
        (string x, string y) => string.CompareOrdinal(x, y),
        _ => throw new ChatTemplateException($"{DescribeType(a)} and {DescribeType(b)} cannot be compared"),
    };

    public static bool Contains(object? container, object? item) => container switch
    {
        string text => item is string part ? text.Contains(part, StringComparison.Ordinal) : throw new ChatTemplateException($"{DescribeType(item)} cannot be in a text"),
        List<object?> list => list.Exists(other => Equals(other, item)),
        Dictionary<string, object?> map => item is string key && map.ContainsKey(key),
        UndefinedValue => false,
        _ => throw new ChatTemplateException($"nothing can be in {DescribeType(container)}"),
    };

    public static double ToDouble(object value) => value switch
    {
        bool flag => flag ? 1 : 0,
        long whole => whole,
        double real => real,
        _ => throw new ChatTemplateException($"{DescribeType(value)} is no number"),
    };

    /// <summary>What a loop goes over.</summary>
    public static List<object?> Items(object? value) => value switch
    {
        List<object?> list => list,
        Dictionary<string, object?> map => [.. map.Keys],
        string text => [.. text.EnumerateRunes().Select(r => r.ToString())],
        UndefinedValue => [],
        _ => throw new ChatTemplateException($"{DescribeType(value)} cannot be looped over"),
    };

    /// <summary>Python's str(): how a value is printed.</summary>
    public static string ToText(object? value) => value switch
    {
        string text => text,
        UndefinedValue => "",
        _ => Repr(value, 0),
    };

    private static string Repr(object? value, int depth) => depth > RenderBudget.MaxDepth ? throw new ChatTemplateException("a value is nested too deeply") : value switch
    {
        null => "None",
        bool flag => flag ? "True" : "False",
        long whole => whole.ToString(CultureInfo.InvariantCulture),
        double real => FormatReal(real),
        string text => QuoteString(text),
        TupleValue tuple => $"({string.Join(", ", tuple.Select(item => Repr(item, depth + 1)))}{(tuple.Count == 1 ? "," : "")})",
        List<object?> list => $"[{string.Join(", ", list.Select(item => Repr(item, depth + 1)))}]",
        Dictionary<string, object?> map => $"{{{string.Join(", ", map.Select(e => $"{QuoteString(e.Key)}: {Repr(e.Value, depth + 1)}"))}}}",
        UndefinedValue => "Undefined",
        _ => throw new ChatTemplateException($"{DescribeType(value)} cannot be printed"),
    };

    private static string QuoteString(string text)
    {
        char quote = text.Contains('\'') && !text.Contains('"') ? '"' : '\'';
        return quote + text.Replace("\\", @"\\", StringComparison.Ordinal).Replace($"{quote}", $"\\{quote}", StringComparison.Ordinal)
            .Replace("\n", @"\n", StringComparison.Ordinal).Replace("\r", @"\r", StringComparison.Ordinal).Replace("\t", @"\t", StringComparison.Ordinal) + quote;
    }

    private static string FormatReal(double value)
    {
        if (!double.IsFinite(value)) return double.IsNaN(value) ? "nan" : value > 0 ? "inf" : "-inf";
        string text = value.ToString("R", CultureInfo.InvariantCulture); // the shortest digits, as Python's
        bool isPlain = Math.Abs(value) is >= 1e-4 and < 1e16 or 0;
        if (isPlain && text.Contains('E')) text = ((decimal)value).ToString(CultureInfo.InvariantCulture);
        if (isPlain) return text.Contains('.') ? text : text + ".0";
        if (!text.Contains('E')) text = value.ToString("0.################E+0", CultureInfo.InvariantCulture);
        string[] parts = text.Split('E');
        int exponent = int.Parse(parts[1], CultureInfo.InvariantCulture);
        return $"{parts[0]}e{(exponent < 0 ? "-" : "+")}{Math.Abs(exponent):00}";
    }

    /// <summary>json.dumps as transformers' tojson calls it: not ASCII only, ", " and ": " between.</summary>
    public static string ToJson(object? value, int? indent, int level = 0)
    {
        if (level > RenderBudget.MaxDepth) throw new ChatTemplateException("a value is nested too deeply");
        string inner = indent is { } width ? "\n" + new string(' ', width * (level + 1)) : "", outer = indent is { } w ? "\n" + new string(' ', w * level) : "";
        string between = indent is null ? ", " : ",";
        return value switch
        {
            null => "null",
            bool flag => flag ? "true" : "false",
            long or double => Repr(value, 0),
            string text => ToJsonString(text),
            List<object?> { Count: 0 } => "[]",
            Dictionary<string, object?> { Count: 0 } => "{}",
            List<object?> list => "[" + string.Join(between, list.Select(item => inner + ToJson(item, indent, level + 1))) + outer + "]",
            Dictionary<string, object?> map => "{" + string.Join(between, map.Select(e => $"{inner}{ToJsonString(e.Key)}: {ToJson(e.Value, indent, level + 1)}")) + outer + "}",
            _ => throw new ChatTemplateException($"{DescribeType(value)} cannot be written as JSON"),
        };
    }

    private static string ToJsonString(string text)
    {
        StringBuilder json = new("\"");
        foreach (char c in text)
        {
            json.Append(c switch
            {
                '"' => "\\\"",
                '\\' => "\\\\",
                '\n' => "\\n",
                '\r' => "\\r",
                '\t' => "\\t",
                '\b' => "\\b",
                '\f' => "\\f",
                < ' ' => $"\\u{(int)c:x4}",
                _ => c.ToString(),
            });
        }
        return json.Append('"').ToString();
    }

    public static string DescribeType(object? value) => value switch
    {
        null => "none",
        bool => "a flag",
        long or double => "a number",
        string => "a text",
        List<object?> => "a list",
        Dictionary<string, object?> => "a dictionary",
        UndefinedValue undefined => $"'{undefined.Name}', which is undefined,",
        NamespaceValue => "a namespace",
        _ => "a function",
    };
}
