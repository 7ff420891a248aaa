namespace Ndif.Tokenizers.Chat.Filters;

/// <summary>A filter of <c>value | filter(arguments)</c>.</summary>
internal delegate object? TemplateFilter(object? value, TemplateArguments arguments, RenderContext context);

/// <summary>The filters by name: those of Jinja, and tojson of transformers.</summary>
/// <remarks>jinja2/filters.py</remarks>
internal static class TemplateFilters
{
    private static readonly Dictionary<string, TemplateFilter> _filters = new(
        [.. TextFilters.All, .. MarkupFilters.All, .. NumberFilters.All, .. SequenceFilters.All, .. SelectionFilters.All,
            .. GeneralFilters.All],
        StringComparer.Ordinal);

    private static readonly Dictionary<string, string> _refused = new(StringComparer.Ordinal)
    {
        ["random"] = "its result is random",
        ["urlize"] = "a chat template is no HTML",
    };

    /// <summary>Those that Jinja passes its context, and so does not apply when it compiles a template.</summary>
    private static readonly string[] _contextual = ["map", "select", "reject", "selectattr", "rejectattr"];

    public static bool NeedsContext(string name) => _contextual.Contains(name);

    public static bool Contains(string name) => _filters.ContainsKey(name);

    /// <summary>Whether Jinja has a filter that is not supported here.</summary>
    public static bool IsRefused(string name) => _refused.ContainsKey(name);

    public static string DescribeMissing(string name) => _refused.TryGetValue(name, out string? reason)
        ? $"the filter '{name}' is not supported: {reason}" : $"the filter '{name}' is not supported";

    public static object? Apply(string name, object? value, TemplateArguments arguments, RenderContext context)
    {
        if (!_filters.TryGetValue(name, out TemplateFilter? filter)) throw new ChatTemplateException(DescribeMissing(name));
        context.Budget.CountRead(value);
        object? result = filter(value, arguments, context);
        if (result is string or List<object?>) context.Budget.CountRead(result);
        return result;
    }
}
