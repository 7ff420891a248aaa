using System.Numerics;

namespace Ndif.Tokenizers.Chat.Values;

/// <summary>The evaluated arguments of a call of a function, method, filter or test.</summary>
internal sealed record TemplateArguments(IReadOnlyList<object?> Positional, IReadOnlyList<KeyValuePair<string, object?>> Keywords)
{
    public TemplateArguments Skip(int count) => this with { Positional = [.. Positional.Skip(count)] };

    /// <summary>Assigns the arguments to parameters, as Python does.</summary>
    /// <param name="function">The name of the function, for the messages of exceptions.</param>
    /// <param name="parameters">
    /// The names of the parameters. A name that ends with = is optional, and one that starts with / can only be given by position.
    /// </param>
    public BoundArguments Bind(string function, params ReadOnlySpan<string> parameters)
    {
        if (Positional.Count > parameters.Length)
            throw new ChatTemplateException($"`{function}` takes at most {parameters.Length} arguments, not {Positional.Count}");
        object?[] values = new object?[parameters.Length];
        Array.Fill(values, TemplateFrame.Missing);
        for (int i = 0; i < Positional.Count; i++) values[i] = Positional[i];
        foreach (var (name, value) in Keywords)
        {
            int index = -1;
            for (int i = 0; i < parameters.Length; i++)
                if (parameters[i].AsSpan().TrimEnd('=').SequenceEqual(name)) index = i;
            if (index < 0) throw new ChatTemplateException($"`{function}` has no argument '{name}'");
            if (index < Positional.Count) throw new ChatTemplateException($"the argument '{name}' of `{function}` is given twice");
            values[index] = value;
        }
        for (int i = 0; i < parameters.Length; i++)
        {
            if (ReferenceEquals(values[i], TemplateFrame.Missing) && !parameters[i].EndsWith('='))
                throw new ChatTemplateException($"`{function}` needs the argument '{parameters[i].TrimStart('/')}'");
        }
        return new BoundArguments(function, values);
    }

    public void RequireNoKeywords(string function)
    {
        if (Keywords.Count > 0) throw new ChatTemplateException($"`{function}` has no argument '{Keywords[0].Key}'");
    }
}

/// <summary>The arguments of a call by the index of their parameters.</summary>
internal sealed class BoundArguments(string function, object?[] values)
{
    private const long MaxSize = 1_000_000_000;

    /// <summary>The value of an argument, or null if it is missing.</summary>
    public object? this[int index] => Has(index) ? values[index] : null;

    public bool Has(int index) => !ReferenceEquals(values[index], TemplateFrame.Missing);

    /// <summary>The value of an argument, or a default if it is missing.</summary>
    public object? Get(int index, object? defaultValue) => Has(index) ? values[index] : defaultValue;

    public bool IsTrue(int index, bool defaultValue = false) => Has(index) ? TemplateValues.IsTrue(values[index]) : defaultValue;

    /// <summary>A string argument.</summary>
    public string Text(int index) => TemplateValues.AsText(this[index]) ?? throw new ChatTemplateException(
        $"`{function}` needs a text as argument {index + 1}, not {TemplateValues.DescribeType(this[index])}");

    public string Text(int index, string defaultValue) => Has(index) ? Text(index) : defaultValue;

    /// <summary>A string argument, or null if it is missing or none.</summary>
    public string? OptionalText(int index) => this[index] is null ? null : Text(index);

    /// <summary>A whole number, limited to a range in which no size overflows.</summary>
    public long Integer(int index) => values[index] switch
    {
        bool boolean => boolean ? 1 : 0,
        long integer => Math.Clamp(integer, -MaxSize, MaxSize),
        BigInteger large => large.Sign * MaxSize,
        var other => throw new ChatTemplateException(
            $"`{function}` needs a whole number as argument {index + 1}, not {TemplateValues.DescribeType(other)}"),
    };

    public long Integer(int index, long defaultValue) => Has(index) ? Integer(index) : defaultValue;

    /// <summary>A whole number, or null if it is missing or none.</summary>
    public long? OptionalInteger(int index) => this[index] is null ? null : Integer(index);
}
