namespace Ndif.Protocol.Ops;

/// <summary>How arguments are written: on the wire (<see cref="Argument"/>) or as values (<c>object?</c>).</summary>
public interface IArgumentAccessor<T>
{
    ArgumentKind KindOf(T argument);

    /// <summary>The items of a list; of anything else nothing.</summary>
    IEnumerable<T> Items(T argument);

    /// <summary>A default of the op table as an argument.</summary>
    T FromDefault(object? value);
}

/// <summary>Arguments on the wire.</summary>
public sealed class ProtoArgumentAccessor : IArgumentAccessor<Argument>
{
    public static ProtoArgumentAccessor Instance { get; } = new();

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

    public IEnumerable<Argument> Items(Argument argument) => argument.ValueCase switch
    {
        Argument.ValueOneofCase.List => argument.List.Items,
        Argument.ValueOneofCase.Tuple => argument.Tuple.Items,
        _ => [],
    };

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

/// <summary>Arguments as values; what is of no known type counts as unknown (a tensor, a reference to a node).</summary>
public sealed class ClrArgumentAccessor : IArgumentAccessor<object?>
{
    public static ClrArgumentAccessor Instance { get; } = new();

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

    public IEnumerable<object?> Items(object? argument) => argument is System.Collections.IList list ? list.Cast<object?>() : [];

    public object? FromDefault(object? value) => value;
}
