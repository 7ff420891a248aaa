using static Ndif.Tokenizers.Chat.TemplateValues;

namespace Ndif.Tokenizers.Chat;

/// <summary>The methods of strings, lists and dictionaries that do not modify the value.</summary>
/// <remarks>docs.python.org/3/library/stdtypes.html</remarks>
internal static class TemplateMethods
{
    /// <summary>Returns a method of a value, or null if values of this type have no method of this name.</summary>
    public static TemplateFunction? Find(object? target, string name, RenderBudget budget) => target switch
    {
        string text => FindStringMethod(text, name, budget),
        Dictionary<string, object?> map => FindDictionaryMethod(map, name, budget),
        List<object?> list => FindListMethod(list, name, budget),
        _ => null,
    };

    private static TemplateFunction? FindStringMethod(string text, string name, RenderBudget budget) => name switch
    {
        "strip" => a => StringFunctions.Strip(text, a.GetText(0), true, true),
        "lstrip" => a => StringFunctions.Strip(text, a.GetText(0), true, false),
        "rstrip" => a => StringFunctions.Strip(text, a.GetText(0), false, true),
        "upper" => _ => text.ToUpperInvariant(),
        "lower" => _ => text.ToLowerInvariant(),
        "title" => _ => StringFunctions.Title(text),
        "capitalize" => _ => StringFunctions.Capitalize(text),
        "startswith" => a => MatchesAny(a, text.StartsWith),
        "endswith" => a => MatchesAny(a, text.EndsWith),
        "removeprefix" => a => a.GetText(0) is { } prefix && text.StartsWith(prefix, StringComparison.Ordinal)
            ? text[prefix.Length..] : text,
        "removesuffix" => a => a.GetText(0) is { Length: > 0 } suffix && text.EndsWith(suffix, StringComparison.Ordinal)
            ? text[..^suffix.Length] : text,
        "replace" => a => StringFunctions.Replace(
            text, a.RequireText(0, name), a.RequireText(1, name), a.Count > 2 && a[2] is long maxCount ? maxCount : -1, budget),
        "find" => a => (long)text.IndexOf(a.RequireText(0, name), StringComparison.Ordinal),
        "rfind" => a => (long)text.LastIndexOf(a.RequireText(0, name), StringComparison.Ordinal),
        "count" => a => (long)(a.RequireText(0, name) is { Length: > 0 } substring ? text.Split(substring).Length - 1 : text.Length + 1),
        "split" => a => Split(text, a.GetText(0), a.Get(1, "maxsplit"), budget),
        "splitlines" => _ => text.Length == 0 ? new List<object?>() : ToList((text.EndsWith('\n') ? text[..^1] : text).Split('\n')),
        "join" => a => budget.CountOutput(string.Join(text, Items(a.First).Select(TemplateValueFormatter.ToText))),
        "isdigit" => _ => text.Length > 0 && text.All(char.IsDigit),
        "isalpha" => _ => text.Length > 0 && text.All(char.IsLetter),
        "isspace" => _ => text.Length > 0 && text.All(char.IsWhiteSpace),
        "isupper" => _ => text.Any(char.IsUpper) && !text.Any(char.IsLower),
        "islower" => _ => text.Any(char.IsLower) && !text.Any(char.IsUpper),
        _ => null,
    };

    private static TemplateFunction? FindDictionaryMethod(Dictionary<string, object?> map, string name, RenderBudget budget) => name switch
    {
        "get" => a => a.GetText(0) is { } key && map.TryGetValue(key, out object? value) ? value : a.Get(1, "default"),
        "items" => _ => TemplateFilters.Entries(CountRead(map, budget)),
        "keys" => _ => CountRead(map, budget).Keys.Cast<object?>().ToList(),
        "values" => _ => CountRead(map, budget).Values.ToList(),
        "copy" => _ => map,
        "update" or "pop" or "clear" or "setdefault" or "popitem" => throw CreateMutationException(name),
        _ => null,
    };

    private static TemplateFunction? FindListMethod(List<object?> list, string name, RenderBudget budget) => name switch
    {
        "index" => a => CountRead(list, budget).FindIndex(item => IsArgument(item, a)) is >= 0 and int index ? (long)index
            : throw new ChatTemplateException("the list does not contain the argument of `index`"),
        "count" => a => (long)CountRead(list, budget).Count(item => IsArgument(item, a)),
        "copy" => _ => list,
        "append" or "extend" or "insert" or "pop" or "remove" or "clear" or "sort" or "reverse" => throw CreateMutationException(name),
        _ => null,
    };

    private static bool IsArgument(object? item, TemplateArguments arguments) =>
        TemplateValues.Equals(item, arguments.First);

    private static T CountRead<T>(T items, RenderBudget budget)
    {
        budget.CountRead(items);
        return items;
    }

    private static ChatTemplateException CreateMutationException(string name) =>
        new($"`{name}` would change a value; a template can only read its values");

    private static List<object?> Split(string text, string? separator, object? maxSplit, RenderBudget budget)
    {
        int maxCount = maxSplit is long splits and >= 0 ? (int)Math.Min(splits, int.MaxValue - 1) + 1 : int.MaxValue;
        if (separator == "") throw new ChatTemplateException("the separator of `split` must not be empty");
        List<object?> substrings = separator is not null ? ToList(text.Split(separator, maxCount))
            : maxCount == int.MaxValue ? ToList(text.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries))
            : throw new ChatTemplateException("`split` with a limit needs a separator");
        budget.CountOutput(text.Length);
        return substrings;
    }

    private static List<object?> ToList(IEnumerable<string> texts) => [.. texts];

    /// <summary>Tests the first argument, which is a string or a list of strings.</summary>
    private static bool MatchesAny(TemplateArguments arguments, Func<string, StringComparison, bool> test) =>
        arguments.First switch
        {
            string affix => test(affix, StringComparison.Ordinal),
            List<object?> affixes => affixes.OfType<string>().Any(affix => test(affix, StringComparison.Ordinal)),
            var other => throw new ChatTemplateException($"a text does not start or end with {DescribeType(other)}"),
        };
}
