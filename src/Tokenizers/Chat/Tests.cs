namespace Ndif.Tokenizers.Chat;

/// <summary>value is test</summary>
/// <remarks>jinja2/tests.py</remarks>
internal static class Tests
{
    private static readonly Dictionary<string, Func<object?, IReadOnlyList<object?>, bool>> s_all = new(StringComparer.Ordinal)
    {
        ["defined"] = (v, _) => v is not Undefined,
        ["undefined"] = (v, _) => v is Undefined,
        ["none"] = (v, _) => v is null,
        ["string"] = (v, _) => v is string,
        ["mapping"] = (v, _) => v is Dictionary<string, object?>,
        ["sequence"] = (v, _) => v is string or List<object?> or Dictionary<string, object?>,
        ["iterable"] = (v, _) => v is string or List<object?> or Dictionary<string, object?> or Undefined,
        ["number"] = (v, _) => v is long or double or bool,
        ["integer"] = (v, _) => v is long,
        ["float"] = (v, _) => v is double,
        ["boolean"] = (v, _) => v is bool,
        ["true"] = (v, _) => v is true,
        ["false"] = (v, _) => v is false,
        ["callable"] = (v, _) => v is Function,
        ["odd"] = (v, _) => v is long whole && whole % 2 != 0,
        ["even"] = (v, _) => v is long whole && whole % 2 == 0,
        ["divisibleby"] = (v, a) => v is long whole && Other(a) is long by and not 0 && whole % by == 0,
        ["lower"] = (v, _) => v is string text && text.Any(char.IsLower) && !text.Any(char.IsUpper),
        ["upper"] = (v, _) => v is string text && text.Any(char.IsUpper) && !text.Any(char.IsLower),
        ["in"] = (v, a) => Values.Contains(Other(a), v),
        ["sameas"] = (v, a) => v is string or List<object?> or Dictionary<string, object?> ? ReferenceEquals(v, Other(a)) : v?.GetType() == Other(a)?.GetType() && Values.Equals(v, Other(a)),
        ["eq"] = (v, a) => Values.Equals(v, Other(a)),
        ["equalto"] = (v, a) => Values.Equals(v, Other(a)),
        ["=="] = (v, a) => Values.Equals(v, Other(a)),
        ["ne"] = (v, a) => !Values.Equals(v, Other(a)),
        ["!="] = (v, a) => !Values.Equals(v, Other(a)),
        ["lt"] = (v, a) => Values.Compare(v, Other(a)) < 0,
        ["le"] = (v, a) => Values.Compare(v, Other(a)) <= 0,
        ["gt"] = (v, a) => Values.Compare(v, Other(a)) > 0,
        ["ge"] = (v, a) => Values.Compare(v, Other(a)) >= 0,
    };

    public static bool Knows(string name) => s_all.ContainsKey(name);

    public static bool Holds(string name, object? value, IReadOnlyList<object?> arguments) => s_all[name](value, arguments);

    private static object? Other(IReadOnlyList<object?> arguments) => arguments.Count > 0 ? arguments[0] : throw new ChatTemplateException("a test lacks what to compare with");
}
