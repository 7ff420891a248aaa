namespace Ndif.Tokenizers.Chat.Values;

/// <summary>
/// The value of a name that is not defined. It is empty when it is printed, tested or iterated over; any other use is an error.
/// </summary>
/// <param name="reason">Why the value is undefined, for the messages of exceptions.</param>
/// <remarks>jinja2/runtime.py, Undefined</remarks>
internal sealed class UndefinedValue(string reason)
{
    public string Reason => reason;

    public static UndefinedValue OfName(string name) => new($"'{name}' is undefined");

    public static UndefinedValue OfItem(object? target, object? key) =>
        new($"{TemplateValues.DescribeType(target)} has no '{(TemplateValues.AsText(key) ?? TemplateValues.DescribeKey(key))}'");

    /// <summary>An attribute that the sandbox of transformers does not allow.</summary>
    public static UndefinedValue OfUnsafe(string name) => new($"`{name}` would change a value; a template can only read its values");
}

/// <summary>The result of namespace(): the only value whose fields a template can set from inside a loop.</summary>
/// <remarks>jinja2/utils.py, Namespace</remarks>
internal sealed class NamespaceValue(MappingValue fields)
{
    public MappingValue Fields => fields;
}

/// <summary>A text that is marked as safe: the filters escape and safe make it. What is added to it is escaped.</summary>
/// <remarks>markupsafe, Markup</remarks>
internal sealed record MarkupValue(string Text);

/// <summary>A function or method that a template can call.</summary>
internal delegate object? TemplateFunction(TemplateArguments arguments, RenderContext context);

/// <summary>The result of cycler().</summary>
/// <remarks>jinja2/utils.py, Cycler</remarks>
internal sealed class CyclerValue(IReadOnlyList<object?> items)
{
    private int _position;

    public object? Current => items[_position];

    public object? Next()
    {
        object? current = Current;
        _position = (_position + 1) % items.Count;
        return current;
    }

    public void Reset() => _position = 0;
}
