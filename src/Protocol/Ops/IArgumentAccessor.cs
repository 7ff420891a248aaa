namespace Ndif.Protocol.Ops;

/// <summary>
/// Access to arguments in one of their representations: messages (<see cref="Argument"/>) or .NET values (<c>object?</c>).
/// </summary>
public interface IArgumentAccessor<T>
{
    /// <summary>The kind of an argument.</summary>
    ArgumentKind KindOf(T argument);

    /// <summary>The items of a list; nothing for any other argument.</summary>
    IEnumerable<T> Items(T argument);

    /// <summary>A default value of the op table as an argument.</summary>
    T FromDefault(object? value);
}

/// <summary>Arguments as messages.</summary>
public sealed class ProtoArgumentAccessor : IArgumentAccessor<Argument>
{
    /// <summary>The only instance.</summary>
    public static ProtoArgumentAccessor Instance { get; } = new();

    /// <inheritdoc/>
    public ArgumentKind KindOf(Argument argument) => argument.ValueCase switch
    {
        Argument.ValueOneofCase.Constant => ArgumentKind.Tensor,
        Argument.ValueOneofCase.None_ or Argument.ValueOneofCase.None => ArgumentKind.None, // None, or nothing at all
        Argument.ValueOneofCase.Boolean => ArgumentKind.Bool,
        Argument.ValueOneofCase.Integer => ArgumentKind.Int,
        Argument.ValueOneofCase.Real => ArgumentKind.Real,
        Argument.ValueOneofCase.Text => ArgumentKind.Text,
        Argument.ValueOneofCase.Slice => ArgumentKind.Slice,
        Argument.ValueOneofCase.Ellipsis => ArgumentKind.Ellipsis,
        Argument.ValueOneofCase.List or Argument.ValueOneofCase.Tuple => ArgumentKind.List,
        Argument.ValueOneofCase.Map => ArgumentKind.Map,
        Argument.ValueOneofCase.Dtype => ArgumentKind.DType,
        Argument.ValueOneofCase.Device => ArgumentKind.Device,
        _ => ArgumentKind.Unknown,
    };

    /// <inheritdoc/>
    public IEnumerable<Argument> Items(Argument argument) => argument.ValueCase switch
    {
        Argument.ValueOneofCase.List => argument.List.Items,
        Argument.ValueOneofCase.Tuple => argument.Tuple.Items,
        _ => [],
    };

    /// <inheritdoc/>
    public Argument FromDefault(object? value) => value switch
    {
        null => new Argument { None = new Nothing() },
        bool flag => new Argument { Boolean = flag },
        long integer => new Argument { Integer = integer },
        double real => new Argument { Real = real },
        string text => new Argument { Text = text },
        long[] integers => new Argument { List = new ArgumentList { Items = { integers.Select(i => new Argument { Integer = i }) } } },
        _ => throw new ArgumentException($"The op table has no defaults of type {value.GetType().Name}.", nameof(value)),
    };
}

/// <summary>Arguments as .NET values. A value of another type, such as an engine's tensor, is <see cref="ArgumentKind.Unknown"/>.</summary>
public sealed class ClrArgumentAccessor : IArgumentAccessor<object?>
{
    /// <summary>The only instance.</summary>
    public static ClrArgumentAccessor Instance { get; } = new();

    /// <inheritdoc/>
    public ArgumentKind KindOf(object? argument) => argument switch
    {
        null => ArgumentKind.None,
        bool => ArgumentKind.Bool,
        long or int => ArgumentKind.Int,
        double or float => ArgumentKind.Real,
        string => ArgumentKind.Text,
        DType or DataType => ArgumentKind.DType,
        TensorData => ArgumentKind.Tensor,
        IndexSlice => ArgumentKind.Slice,
        IndexEllipsis => ArgumentKind.Ellipsis,
        System.Collections.IDictionary => ArgumentKind.Map,
        System.Collections.IList => ArgumentKind.List,
        _ => ArgumentKind.Unknown,
    };

    /// <inheritdoc/>
    public IEnumerable<object?> Items(object? argument) =>
        argument is System.Collections.IList list ? list.Cast<object?>() : [];

    /// <inheritdoc/>
    public object? FromDefault(object? value) => value;
}
