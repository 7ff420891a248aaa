using System.Collections;

namespace Ndif.Tokenizers.Chat;

/// <summary>
/// Python's semantics of the values of a template. A value is null, a bool, long, double or string, a list, a dictionary with string
/// keys in insertion order, an <see cref="UndefinedValue"/>, a <see cref="NamespaceValue"/> or a <see cref="TemplateFunction"/>.
/// </summary>
internal static class TemplateValues
{
    /// <summary>Python's bool().</summary>
    public static bool IsTrue(object? value) => value switch
    {
        null or UndefinedValue => false,
        bool boolean => boolean,
        long integer => integer != 0,
        double real => real != 0,
        string text => text.Length > 0,
        ICollection items => items.Count > 0,
        _ => true,
    };

    /// <summary>Python's operator ==.</summary>
    public static new bool Equals(object? left, object? right) => (left, right) switch
    {
        (null, null) => true,
        (UndefinedValue, UndefinedValue) => true,
        (bool or long or double, bool or long or double) => ToDouble(left!) == ToDouble(right!),
        (string x, string y) => string.Equals(x, y, StringComparison.Ordinal),
        (List<object?> x, List<object?> y) => x.Count == y.Count && x.Zip(y).All(pair => Equals(pair.First, pair.Second)),
        (Dictionary<string, object?> x, Dictionary<string, object?> y) =>
            x.Count == y.Count && x.All(entry => y.TryGetValue(entry.Key, out object? other) && Equals(entry.Value, other)),
        _ => ReferenceEquals(left, right),
    };

    /// <summary>Compares two numbers or two strings.</summary>
    public static int Compare(object? left, object? right) => (left, right) switch
    {
        (bool or long or double, bool or long or double) => ToDouble(left!).CompareTo(ToDouble(right!)),
        (string x, string y) => string.CompareOrdinal(x, y),
        _ => throw new ChatTemplateException($"{DescribeType(left)} and {DescribeType(right)} cannot be compared"),
    };

    /// <summary>Python's operator in.</summary>
    public static bool Contains(object? container, object? item) => container switch
    {
        string text => item is string substring ? text.Contains(substring, StringComparison.Ordinal)
            : throw new ChatTemplateException($"{DescribeType(item)} cannot be in a text"),
        List<object?> list => list.Exists(other => Equals(other, item)),
        Dictionary<string, object?> map => item is string key && map.ContainsKey(key),
        UndefinedValue => false,
        _ => throw new ChatTemplateException($"`in` does not go with {DescribeType(container)}"),
    };

    public static double ToDouble(object value) => value switch
    {
        bool boolean => boolean ? 1 : 0,
        long integer => integer,
        double real => real,
        _ => throw new ChatTemplateException($"{DescribeType(value)} is not a number"),
    };

    /// <summary>The items that a loop over a value visits.</summary>
    public static List<object?> Items(object? value) => value switch
    {
        List<object?> list => list,
        Dictionary<string, object?> map => [.. map.Keys],
        string text => [.. text.EnumerateRunes().Select(rune => rune.ToString())],
        UndefinedValue => [],
        _ => throw new ChatTemplateException($"{DescribeType(value)} cannot be looped over"),
    };

    /// <summary>The type of a value, for the messages of exceptions.</summary>
    public static string DescribeType(object? value) => value switch
    {
        null => "none",
        bool => "a boolean",
        long or double => "a number",
        string => "a text",
        List<object?> => "a list",
        Dictionary<string, object?> => "a dictionary",
        UndefinedValue undefined => $"'{undefined.Name}', which is undefined,",
        NamespaceValue => "a namespace",
        _ => "a function",
    };
}
