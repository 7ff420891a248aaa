using System.Numerics;

namespace Ndif.Tokenizers.Chat.Values;

/// <summary>
/// Python's semantics of the values of a template. A value is null, a bool, a long or (if it is larger) BigInteger, a double, a string or
/// <see cref="MarkupValue"/>, a <c>List</c>, a <see cref="TupleValue"/>, a <see cref="MappingValue"/>, or another type of this folder.
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
        _ => Length(value) is not 0,
    };

    /// <summary>Python's len(), or null if the value has no length.</summary>
    public static long? Length(object? value) => value switch
    {
        string text => CodePoints.Count(text),
        MarkupValue markup => CodePoints.Count(markup.Text),
        List<object?> list => list.Count,
        TupleValue tuple => tuple.Items.Count,
        MappingValue map => map.Count,
        RangeValue range => range.Count,
        DictionaryView view => view.Mapping.Count,
        UndefinedValue => 0,
        LoopValue loop => loop.Length,
        _ => null,
    };

    /// <summary>Returns the text of a string, or null for another value.</summary>
    public static string? AsText(object? value) => value as string ?? (value as MarkupValue)?.Text;

    /// <summary>Python's operator ==.</summary>
    public static bool AreEqual(object? left, object? right, int depth = 0)
    {
        if (depth > RenderBudget.MaxDepth) throw new ChatTemplateException("a value is nested too deeply");
        return (left, right) switch
        {
            (null, null) => true,
            (UndefinedValue, UndefinedValue) => true,
            (List<object?> x, List<object?> y) => AreItemsEqual(x, y, depth),
            (TupleValue x, TupleValue y) => AreItemsEqual(x.Items, y.Items, depth),
            (MappingValue x, MappingValue y) => x.Count == y.Count
                && x.All(entry => y.TryGetValue(entry.Key, out object? other) && AreEqual(entry.Value, other, depth + 1)),
            (RangeValue x, RangeValue y) => x.Count == y.Count && (x.Count == 0 || x.Start == y.Start) && (x.Count < 2 || x.Step == y.Step),
            (DictionaryView x, DictionaryView y) when x.Kind != DictionaryViewKind.Values && y.Kind != DictionaryViewKind.Values =>
                x.Mapping.Count == y.Mapping.Count && x.Items.All(item => y.Items.Any(other => AreEqual(item, other, depth + 1))),
            _ when AsText(left) is { } x && AsText(right) is { } y => string.Equals(x, y, StringComparison.Ordinal),
            _ when TemplateNumbers.IsNumber(left) && TemplateNumbers.IsNumber(right) => TemplateNumbers.Compare(left!, right!) == 0,
            _ => ReferenceEquals(left, right),
        };
    }

    public static bool AreEqualValues(object? left, object? right) => AreEqual(left, right);

    private static bool AreItemsEqual(IReadOnlyList<object?> x, IReadOnlyList<object?> y, int depth)
    {
        if (x.Count != y.Count) return false;
        for (int i = 0; i < x.Count; i++)
            if (!AreEqual(x[i], y[i], depth + 1)) return false;
        return true;
    }

    /// <summary>Python's operators ==, !=, &lt;, &lt;=, &gt; and &gt;=.</summary>
    public static bool Compare(string op, object? left, object? right)
    {
        if (op is "==" or "!=") return AreEqual(left, right) == (op == "==");
        // A comparison with nan is false.
        if (left is double.NaN || right is double.NaN) return TemplateNumbers.IsNumber(left) && TemplateNumbers.IsNumber(right)
            ? false : throw CreateComparisonException(left, right);
        int order = Order(left, right);
        return op switch { "<" => order < 0, "<=" => order <= 0, ">" => order > 0, _ => order >= 0 };
    }

    /// <summary>The order of two numbers, strings, lists or tuples.</summary>
    public static int Order(object? left, object? right)
    {
        if (TemplateNumbers.IsNumber(left) && TemplateNumbers.IsNumber(right)) return TemplateNumbers.Compare(left!, right!);
        if (AsText(left) is { } x && AsText(right) is { } y) return CodePoints.Compare(x, y);
        if (left is List<object?> a && right is List<object?> b) return OrderItems(a, b);
        if (left is TupleValue t && right is TupleValue u) return OrderItems(t.Items, u.Items);
        throw CreateComparisonException(left, right);
    }

    private static int OrderItems(IReadOnlyList<object?> x, IReadOnlyList<object?> y)
    {
        RenderContext.EnsureStack();
        for (int i = 0; i < Math.Min(x.Count, y.Count); i++)
            if (!AreEqual(x[i], y[i])) return Order(x[i], y[i]);
        return x.Count.CompareTo(y.Count);
    }

    private static ChatTemplateException CreateComparisonException(object? left, object? right) =>
        new($"{DescribeType(left)} and {DescribeType(right)} cannot be compared");

    /// <summary>Python's operator in.</summary>
    public static bool Contains(object? container, object? item) => container switch
    {
        string or MarkupValue => AsText(item) is { } substring ? AsText(container)!.Contains(substring, StringComparison.Ordinal)
            : throw new ChatTemplateException($"{DescribeType(item)} cannot be in a text"),
        MappingValue map => map.ContainsKey(item),
        DictionaryView { Kind: DictionaryViewKind.Keys } view => view.Mapping.ContainsKey(item),
        null or bool or long or BigInteger or double or TemplateFunction or MacroValue or NamespaceValue or CyclerValue or LoopValue =>
            throw new ChatTemplateException($"`in` does not go with {DescribeType(container)}"),
        _ => Iterate(container).Any(other => AreEqual(other, item)),
    };

    /// <summary>The items that a loop over a value visits. Those of an iterator are consumed.</summary>
    public static IEnumerable<object?> Iterate(object? value) => value switch
    {
        List<object?> list => list,
        TupleValue tuple => tuple.Items,
        MappingValue map => map.Keys,
        string text => CodePoints.Split(text),
        MarkupValue markup => CodePoints.Split(markup.Text),
        RangeValue range => range.Items,
        DictionaryView view => view.Items,
        IteratorValue iterator => iterator.Rest,
        UndefinedValue => [],
        _ => throw new ChatTemplateException($"{DescribeType(value)} cannot be looped over"),
    };

    /// <summary>Whether <see cref="Iterate"/> goes with a value.</summary>
    public static bool IsIterable(object? value) => value is string or MarkupValue or List<object?> or TupleValue or MappingValue
        or RangeValue or DictionaryView or IteratorValue or UndefinedValue;

    /// <summary>The type of a value, for the messages of exceptions.</summary>
    public static string DescribeType(object? value) => value switch
    {
        null => "none",
        bool => "a boolean",
        long or BigInteger or double => "a number",
        string or MarkupValue => "a text",
        List<object?> => "a list",
        TupleValue => "a tuple",
        MappingValue => "a dictionary",
        RangeValue => "a range",
        DictionaryView => "a view of a dictionary",
        IteratorValue => "an iterator",
        UndefinedValue undefined => $"an undefined value ({undefined.Reason})",
        NamespaceValue => "a namespace",
        LoopValue => "the variable 'loop'",
        CyclerValue => "a cycler",
        MacroValue => "a macro",
        _ => "a function",
    };

    public static string DescribeKey(object? key) => key is null or bool or long or double ? TemplateValueFormatter.ToText(key)
        : DescribeType(key);
}
