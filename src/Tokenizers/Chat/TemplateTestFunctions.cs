using System.Numerics;
using System.Text;

namespace Ndif.Tokenizers.Chat;

/// <summary>The tests of <c>value is test(argument)</c>.</summary>
/// <remarks>jinja2/tests.py</remarks>
internal static class TemplateTestFunctions
{
    private static readonly Dictionary<string, Func<object?, bool>> _tests = new(StringComparer.Ordinal)
    {
        ["defined"] = v => v is not UndefinedValue,
        ["undefined"] = v => v is UndefinedValue,
        ["none"] = v => v is null,
        ["string"] = v => v is string or MarkupValue,
        ["mapping"] = v => v is MappingValue,
        ["sequence"] = v => v is string or MarkupValue or List<object?> or TupleValue or MappingValue or RangeValue or UndefinedValue,
        ["iterable"] = v => TemplateValues.IsIterable(v) || v is LoopValue,
        ["number"] = TemplateNumbers.IsNumber,
        ["integer"] = v => v is long or BigInteger,
        ["float"] = v => v is double,
        ["boolean"] = v => v is bool,
        ["true"] = v => v is true,
        ["false"] = v => v is false,
        ["callable"] = v => v is TemplateFunction or MacroValue or LoopValue or UndefinedValue,
        ["escaped"] = v => v is MarkupValue,
        ["lower"] = v => TextMethods.IsCase(TemplateValueFormatter.ToText(v), PythonCharacters.IsLower),
        ["upper"] = v => TextMethods.IsCase(TemplateValueFormatter.ToText(v), PythonCharacters.IsUpper),
        ["filter"] = v => IsNameOf(v, name => TemplateFilters.Contains(name) || TemplateFilters.IsRefused(name)),
        ["test"] = v => IsNameOf(v, Contains),
    };

    private static readonly Dictionary<string,
        (string Parameter, Func<object?, object?, bool> Test)> _testsWithArgument = new(StringComparer.Ordinal)
    {
        ["in"] = ("seq", (v, a) => TemplateValues.Contains(a, v)),
        ["sameas"] = ("other", IsSame),
        ["eq"] = ("/b", TemplateValues.AreEqualValues),
        ["equalto"] = ("/b", TemplateValues.AreEqualValues),
        ["=="] = ("/b", TemplateValues.AreEqualValues),
        ["ne"] = ("/b", (v, a) => !TemplateValues.AreEqual(v, a)),
        ["!="] = ("/b", (v, a) => !TemplateValues.AreEqual(v, a)),
        ["lt"] = ("/b", (v, a) => TemplateValues.Compare("<", v, a)),
        ["lessthan"] = ("/b", (v, a) => TemplateValues.Compare("<", v, a)),
        ["<"] = ("/b", (v, a) => TemplateValues.Compare("<", v, a)),
        ["le"] = ("/b", (v, a) => TemplateValues.Compare("<=", v, a)),
        ["<="] = ("/b", (v, a) => TemplateValues.Compare("<=", v, a)),
        ["gt"] = ("/b", (v, a) => TemplateValues.Compare(">", v, a)),
        ["greaterthan"] = ("/b", (v, a) => TemplateValues.Compare(">", v, a)),
        [">"] = ("/b", (v, a) => TemplateValues.Compare(">", v, a)),
        ["ge"] = ("/b", (v, a) => TemplateValues.Compare(">=", v, a)),
        [">="] = ("/b", (v, a) => TemplateValues.Compare(">=", v, a)),
    };

    public static bool Contains(string name) =>
        _tests.ContainsKey(name) || _testsWithArgument.ContainsKey(name) || name is "odd" or "even" or "divisibleby";

    public static bool Evaluate(string name, object? value, TemplateArguments arguments, RenderContext context)
    {
        if (_tests.TryGetValue(name, out Func<object?, bool>? test))
        {
            arguments.Bind(name);
            return test(value);
        }
        switch (name) // a text with a format is divided as well: Python's operator %
        {
            case "odd" or "even":
                arguments.Bind(name);
                return TemplateValues.AreEqual(Modulo(value, 2L, context), name == "odd" ? 1L : 0L);
            case "divisibleby":
                return TemplateValues.AreEqual(Modulo(value, arguments.Bind(name, "num")[0], context), 0L);
        }
        if (!_testsWithArgument.TryGetValue(name, out var binary)) throw new ChatTemplateException($"the test '{name}' is not supported");
        object? argument = arguments.Bind(name, binary.Parameter)[0];
        context.Budget.CountRead(argument);
        return binary.Test(value, argument);
    }

    /// <summary>Python's operator %, which formats if the value is a text.</summary>
    private static object? Modulo(object? value, object? divisor, RenderContext context) =>
        TemplateOperators.Compute("%", value, divisor, context);

    /// <summary>Whether a value is one of the names. A list or dictionary cannot be looked up.</summary>
    private static bool IsNameOf(object? value, Func<string, bool> contains)
    {
        MappingValue.KeyComparer.Instance.GetHashCode(value ?? "");
        return TemplateValues.AsText(value) is { } name && contains(name);
    }

    /// <summary>
    /// Python's operator is. Numbers and texts have no identity here: they are the same if their types and values are equal.
    /// </summary>
    private static bool IsSame(object? value, object? other) => value is long or double or BigInteger or bool or string
        ? value.GetType() == other?.GetType() && TemplateValues.AreEqual(value, other) : ReferenceEquals(value, other);
}
