namespace Ndif.Tokenizers.Chat.Filters;

/// <summary>The argument <c>attribute</c> of filters: a field of each item. "a.b" is the field b of the field a.</summary>
/// <remarks>jinja2/filters.py, make_attrgetter and make_multi_attrgetter</remarks>
internal static class ItemField
{
    /// <summary>Returns a function that reads a field of an item. Without a field it returns the item.</summary>
    /// <param name="field">The field: null, a text or a number.</param>
    /// <param name="ignoresCase">True to return texts in lower case.</param>
    /// <param name="defaultValue">The value in place of an undefined one; null for none.</param>
    public static Func<object?, object?> Create(object? field, bool ignoresCase = false, object? defaultValue = null)
    {
        List<object?> keys = Split(field);
        return item =>
        {
            foreach (object? key in keys)
            {
                item = TemplateAccess.GetItem(item, key);
                if (defaultValue is not null && item is UndefinedValue) item = defaultValue;
            }
            return ignoresCase && TemplateValues.AsText(item) is { } text ? TextCase.ToLower(text) : item;
        };
    }

    /// <summary>Returns a function that reads several fields, which are separated by commas, as a list.</summary>
    public static Func<object?, object?> CreateList(object? fields, bool ignoresCase)
    {
        List<Func<object?, object?>> getters = TemplateValues.AsText(fields) is { } text
            ? [.. text.Split(',').Select(field => Create(field, ignoresCase))] : [Create(fields, ignoresCase)];
        return item => getters.Select(get => get(item)).ToList();
    }

    private static List<object?> Split(object? field) => field is null ? [] : TemplateValues.AsText(field) is not { } text ? [field]
        : [.. text.Split('.').Select(key => key.Length > 0 && key.All(char.IsDigit) ? TemplateNumbers.ParseDigits(key, 10) : key)];
}
