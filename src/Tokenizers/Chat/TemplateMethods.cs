namespace Ndif.Tokenizers.Chat;

/// <summary>The methods of texts, lists and dictionaries that only read.</summary>
internal static class TemplateMethods
{
    /// <returns>The method, or null if values of this kind have none of that name.</returns>
    public static TemplateFunction? Find(object? target, string name, RenderBudget budget) => target switch
    {
        string text => FindStringMethod(text, name, budget),
        Dictionary<string, object?> map => FindDictionaryMethod(map, name, budget),
        List<object?> list => FindListMethod(list, name, budget),
        _ => null,
    };

    private static TemplateFunction? FindStringMethod(string text, string name, RenderBudget budget) => name switch
    {
        "strip" => (a, _) => Strip(text, GetText(a, 0), true, true),
        "lstrip" => (a, _) => Strip(text, GetText(a, 0), true, false),
        "rstrip" => (a, _) => Strip(text, GetText(a, 0), false, true),
        "upper" => (_, _) => text.ToUpperInvariant(),
        "lower" => (_, _) => text.ToLowerInvariant(),
        "title" => (_, _) => TemplateFilters.Title(text),
        "capitalize" => (_, _) => TemplateFilters.Capitalize(text),
        "startswith" => (a, _) => Any(a, text.StartsWith),
        "endswith" => (a, _) => Any(a, text.EndsWith),
        "removeprefix" => (a, _) => GetText(a, 0) is { } prefix && text.StartsWith(prefix, StringComparison.Ordinal) ? text[prefix.Length..] : text,
        "removesuffix" => (a, _) => GetText(a, 0) is { Length: > 0 } suffix && text.EndsWith(suffix, StringComparison.Ordinal) ? text[..^suffix.Length] : text,
        "replace" => (a, _) => TemplateFilters.Replace(text, RequireText(a, 0, name), RequireText(a, 1, name), a.Count > 2 && a[2] is long most ? most : -1, budget),
        "find" => (a, _) => (long)text.IndexOf(RequireText(a, 0, name), StringComparison.Ordinal),
        "rfind" => (a, _) => (long)text.LastIndexOf(RequireText(a, 0, name), StringComparison.Ordinal),
        "count" => (a, _) => (long)(RequireText(a, 0, name) is { Length: > 0 } part ? text.Split(part).Length - 1 : text.Length + 1),
        "split" => (a, k) => Split(text, GetText(a, 0), a.Count > 1 ? a[1] : k.GetValueOrDefault("maxsplit"), budget),
        "splitlines" => (_, _) => text.Length == 0 ? new List<object?>() : ToList((text.EndsWith('\n') ? text[..^1] : text).Split('\n')),
        "join" => (a, _) => budget.CountOutput(string.Join(text, TemplateValues.Items(a.Count > 0 ? a[0] : null).Select(TemplateValues.ToText))),
        "isdigit" => (_, _) => text.Length > 0 && text.All(char.IsDigit),
        "isalpha" => (_, _) => text.Length > 0 && text.All(char.IsLetter),
        "isspace" => (_, _) => text.Length > 0 && text.All(char.IsWhiteSpace),
        "isupper" => (_, _) => text.Any(char.IsUpper) && !text.Any(char.IsLower),
        "islower" => (_, _) => text.Any(char.IsLower) && !text.Any(char.IsUpper),
        _ => null,
    };

    private static TemplateFunction? FindDictionaryMethod(Dictionary<string, object?> map, string name, RenderBudget budget) => name switch
    {
        "get" => (a, k) => a.Count > 0 && a[0] is string key && map.TryGetValue(key, out object? value) ? value : a.Count > 1 ? a[1] : k.GetValueOrDefault("default"),
        "items" => (_, _) => TemplateFilters.Entries(CountRead(map, budget)),
        "keys" => (_, _) => CountRead(map, budget).Keys.Cast<object?>().ToList(),
        "values" => (_, _) => CountRead(map, budget).Values.ToList(),
        "copy" => (_, _) => map,
        "update" or "pop" or "clear" or "setdefault" or "popitem" => throw MutationNotAllowed(name),
        _ => null,
    };

    private static TemplateFunction? FindListMethod(List<object?> list, string name, RenderBudget budget) => name switch
    {
        "index" => (a, _) => CountRead(list, budget).FindIndex(item => TemplateValues.Equals(item, a.Count > 0 ? a[0] : null)) is >= 0 and int at ? (long)at : throw new ChatTemplateException("the list does not have what is looked for"),
        "count" => (a, _) => (long)CountRead(list, budget).Count(item => TemplateValues.Equals(item, a.Count > 0 ? a[0] : null)),
        "copy" => (_, _) => list,
        "append" or "extend" or "insert" or "pop" or "remove" or "clear" or "sort" or "reverse" => throw MutationNotAllowed(name),
        _ => null,
    };

    private static T CountRead<T>(T items, RenderBudget budget)
    {
        budget.CountRead(items);
        return items;
    }

    private static ChatTemplateException MutationNotAllowed(string name) => new($"`{name}` would change a value; a template may only read");

    private static string Strip(string text, string? characters, bool front, bool back)
    {
        bool Belongs(char c) => characters?.Contains(c) ?? char.IsWhiteSpace(c);
        int from = 0, to = text.Length;
        while (front && from < to && Belongs(text[from])) from++;
        while (back && to > from && Belongs(text[to - 1])) to--;
        return text[from..to];
    }

    private static List<object?> Split(string text, string? separator, object? maxSplit, RenderBudget budget)
    {
        int limit = maxSplit is long given and >= 0 ? (int)Math.Min(given, int.MaxValue - 1) + 1 : int.MaxValue;
        if (separator == "") throw new ChatTemplateException("a text cannot be split by an empty one");
        List<object?> parts = separator is not null ? ToList(text.Split(separator, limit))
            : limit == int.MaxValue ? ToList(text.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries))
            : throw new ChatTemplateException("split with a limit needs what to split by");
        budget.CountOutput(text.Length);
        return parts;
    }

    private static List<object?> ToList(IEnumerable<string> texts) => [.. texts];

    private static bool Any(IReadOnlyList<object?> arguments, Func<string, StringComparison, bool> test) => (arguments.Count > 0 ? arguments[0] : null) switch
    {
        string one => test(one, StringComparison.Ordinal),
        List<object?> several => several.OfType<string>().Any(part => test(part, StringComparison.Ordinal)),
        var other => throw new ChatTemplateException($"a text does not begin or end with {TemplateValues.DescribeType(other)}"),
    };

    private static string? GetText(IReadOnlyList<object?> arguments, int at) => at < arguments.Count ? arguments[at] as string : null;

    private static string RequireText(IReadOnlyList<object?> arguments, int at, string name) =>
        GetText(arguments, at) ?? throw new ChatTemplateException($"`{name}` needs a text as argument {at + 1}");
}
