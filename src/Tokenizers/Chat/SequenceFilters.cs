using System.Globalization;
using static Ndif.Tokenizers.Chat.TemplateValues;

namespace Ndif.Tokenizers.Chat;

/// <summary>The filters that sort, select and map the items of a sequence.</summary>
/// <remarks>jinja2/filters.py</remarks>
internal static class SequenceFilters
{
    public static object? Reverse(object? value, TemplateArguments arguments, RenderBudget budget)
    {
        IEnumerable<object?> reversed = Items(value).AsEnumerable().Reverse();
        return value is string ? string.Concat(reversed) : reversed.ToList();
    }

    public static List<object?> Sort(object? value, TemplateArguments arguments, RenderBudget budget)
    {
        object? field = arguments.Get(2, "attribute");
        var comparer = Comparer<object?>.Create((x, y) => x is string s && y is string t
            ? string.Compare(s.ToLowerInvariant(), t.ToLowerInvariant(), StringComparison.Ordinal) : Compare(x, y));
        List<object?> items = Items(value);
        IEnumerable<object?> sorted = IsTrue(arguments.Get(0, "reverse"))
            ? items.OrderByDescending(item => GetField(item, field), comparer)
            : items.OrderBy(item => GetField(item, field), comparer);
        try
        {
            return [.. sorted];
        }
        catch (InvalidOperationException e) when (e.InnerException is ChatTemplateException inner)
        {
            throw inner;
        }
    }

    public static List<object?> Unique(object? value, TemplateArguments arguments, RenderBudget budget)
    {
        List<object?> unique = [];
        foreach (object? item in Items(value))
        {
            foreach (object? _ in unique) budget.CountStep();
            if (!unique.Exists(other => TemplateValues.Equals(other, item))) unique.Add(item);
        }
        return unique;
    }

    /// <summary>Selects the items for which a test has the expected result.</summary>
    /// <param name="value">The sequence.</param>
    /// <param name="field">The field of each item to test; null to test the item itself.</param>
    /// <param name="test">The name of the test and its arguments. If it is empty, the truth of the value is tested.</param>
    /// <param name="expected">The expected result.</param>
    /// <param name="budget">The limits of the rendering.</param>
    public static List<object?> Select(object? value, object? field, IReadOnlyList<object?> test, bool expected, RenderBudget budget)
    {
        string name = test.Count > 0 ? test[0] as string ?? "" : "";
        if (name.Length > 0 && !TemplateTestFunctions.Contains(name))
            throw new ChatTemplateException($"the test '{name}' is not supported");
        List<object?> selected = [];
        foreach (object? item in Items(value))
        {
            budget.CountStep();
            object? tested = GetField(item, field);
            bool result = name.Length == 0 ? IsTrue(tested) : TemplateTestFunctions.Evaluate(name, tested, [.. test.Skip(1)]);
            if (result == expected) selected.Add(item);
        }
        return selected;
    }

    /// <summary>Applies a filter to each item, or returns a field of each item.</summary>
    public static List<object?> Map(object? value, TemplateArguments arguments, RenderBudget budget)
    {
        string? filter = arguments.GetText(0);
        if (filter is not null && !TemplateFilters.Contains(filter))
            throw new ChatTemplateException($"the filter '{filter}' is not supported");
        List<object?> mapped = [];
        foreach (object? item in Items(value))
        {
            budget.CountStep();
            mapped.Add(filter is null ? GetFieldOrDefault(item)
                : TemplateFilters.Apply(filter, item, arguments with { Positional = [.. arguments.Positional.Skip(1)] }, budget));
        }
        return mapped;

        object? GetFieldOrDefault(object? item)
        {
            object? field = GetField(item, arguments.Keywords.GetValueOrDefault("attribute"));
            return field is UndefinedValue && arguments.Keywords.TryGetValue("default", out object? defaultValue) ? defaultValue : field;
        }
    }

    /// <summary>Returns a field of an item. "a.b" is the field b of the field a; null is the item itself.</summary>
    public static object? GetField(object? item, object? field)
    {
        if (field is null) return item;
        foreach (string name in TemplateValueFormatter.ToText(field).Split('.'))
        {
            item = item switch
            {
                Dictionary<string, object?> map when map.TryGetValue(name, out object? value) => value,
                List<object?> list when int.TryParse(name, CultureInfo.InvariantCulture, out int index)
                    && index >= 0 && index < list.Count => list[index],
                _ => new UndefinedValue(name),
            };
        }
        return item;
    }
}
