namespace Ndif.Tokenizers.Chat;

/// <summary>The evaluated arguments of a call of a function, method or filter.</summary>
internal sealed record TemplateArguments(IReadOnlyList<object?> Positional, IReadOnlyDictionary<string, object?> Keywords)
{
    private const long MaxInteger = 100_000;

    /// <summary>The number of positional arguments.</summary>
    public int Count => Positional.Count;

    /// <summary>The first positional argument, or null if it is missing.</summary>
    public object? First => Positional.Count > 0 ? Positional[0] : null;

    /// <summary>A positional argument, which must exist.</summary>
    public object? this[int index] => Positional[index];

    /// <summary>Returns an argument that is passed by position or by name, or null if it is missing.</summary>
    public object? Get(int index, string name) => index < Positional.Count ? Positional[index] : Keywords.GetValueOrDefault(name);

    /// <summary>Returns a whole number that is passed by position or by name, or null if it is missing.</summary>
    public long? GetInteger(int index, string name) => Get(index, name) switch
    {
        null => null,
        long integer => integer is >= -MaxInteger and <= MaxInteger ? integer
            : throw new ChatTemplateException($"{integer} is too large for `{name}`"),
        object other => throw new ChatTemplateException($"`{name}` must be a whole number, not {TemplateValues.DescribeType(other)}"),
    };

    /// <summary>Returns a positional argument, or null if it is missing or not a string.</summary>
    public string? GetText(int index) => index < Positional.Count ? Positional[index] as string : null;

    /// <summary>Returns a positional argument, which must be a string.</summary>
    public string RequireText(int index, string method) =>
        GetText(index) ?? throw new ChatTemplateException($"`{method}` needs a text as argument {index + 1}");
}
