namespace Ndif.Tokenizers.Chat;

/// <summary>The tests of <c>value is test(argument)</c>.</summary>
/// <remarks>jinja2/tests.py</remarks>
internal static class TemplateTestFunctions
{
    private static readonly Dictionary<string, Func<object?, IReadOnlyList<object?>, bool>> _tests = new(StringComparer.Ordinal)
    {
        ["defined"] = (v, _) => v is not UndefinedValue,
        ["undefined"] = (v, _) => v is UndefinedValue,
        ["none"] = (v, _) => v is null,
        ["string"] = (v, _) => v is string,
        ["mapping"] = (v, _) => v is Dictionary<string, object?>,
        ["sequence"] = (v, _) => v is string or List<object?> or Dictionary<string, object?>,
        ["iterable"] = (v, _) => v is string or List<object?> or Dictionary<string, object?> or UndefinedValue,
        ["number"] = (v, _) => v is long or double or bool,
        ["integer"] = (v, _) => v is long,
        ["float"] = (v, _) => v is double,
        ["boolean"] = (v, _) => v is bool,
        ["true"] = (v, _) => v is true,
        ["false"] = (v, _) => v is false,
        ["callable"] = (v, _) => v is TemplateFunction,
        ["odd"] = (v, _) => v is long integer && integer % 2 != 0,
        ["even"] = (v, _) => v is long integer && integer % 2 == 0,
        ["divisibleby"] = (v, a) => v is long integer && RequireArgument(a) is long divisor and not 0 && integer % divisor == 0,
        ["lower"] = (v, _) => v is string text && text.Any(char.IsLower) && !text.Any(char.IsUpper),
        ["upper"] = (v, _) => v is string text && text.Any(char.IsUpper) && !text.Any(char.IsLower),
        ["in"] = (v, a) => TemplateValues.Contains(RequireArgument(a), v),
        ["sameas"] = (v, a) => IsSame(v, RequireArgument(a)),
        ["eq"] = (v, a) => TemplateValues.Equals(v, RequireArgument(a)),
        ["equalto"] = (v, a) => TemplateValues.Equals(v, RequireArgument(a)),
        ["=="] = (v, a) => TemplateValues.Equals(v, RequireArgument(a)),
        ["ne"] = (v, a) => !TemplateValues.Equals(v, RequireArgument(a)),
        ["!="] = (v, a) => !TemplateValues.Equals(v, RequireArgument(a)),
        ["lt"] = (v, a) => TemplateValues.Compare(v, RequireArgument(a)) < 0,
        ["le"] = (v, a) => TemplateValues.Compare(v, RequireArgument(a)) <= 0,
        ["gt"] = (v, a) => TemplateValues.Compare(v, RequireArgument(a)) > 0,
        ["ge"] = (v, a) => TemplateValues.Compare(v, RequireArgument(a)) >= 0,
    };

    public static bool Contains(string name) => _tests.ContainsKey(name);

    public static bool Evaluate(string name, object? value, IReadOnlyList<object?> arguments) => _tests[name](value, arguments);

    /// <summary>Python's operator is. Numbers have no identity here: they are the same if their types and values are equal.</summary>
    private static bool IsSame(object? value, object? other) => value is string or List<object?> or Dictionary<string, object?>
        ? ReferenceEquals(value, other)
        : value?.GetType() == other?.GetType() && TemplateValues.Equals(value, other);

    private static object? RequireArgument(IReadOnlyList<object?> arguments) =>
        arguments.Count > 0 ? arguments[0] : throw new ChatTemplateException("the test needs an argument");
}
