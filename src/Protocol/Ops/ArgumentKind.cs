namespace Ndif.Protocol.Ops;

/// <summary>The kind of an argument, as far as it is known before the program runs.</summary>
public enum ArgumentKind
{
    /// <summary>The value of another node: it fits every parameter until it is computed.</summary>
    Unknown,
    /// <summary>Python's None.</summary>
    None,
    /// <summary>A flag.</summary>
    Bool,
    /// <summary>A whole number.</summary>
    Int,
    /// <summary>A floating-point number.</summary>
    Real,
    /// <summary>A text.</summary>
    Text,
    /// <summary>A list or a tuple.</summary>
    List,
    /// <summary>A dictionary.</summary>
    Map,
    /// <summary>A range of an index.</summary>
    Slice,
    /// <summary>The ellipsis of an index.</summary>
    Ellipsis,
    /// <summary>An element type.</summary>
    DType,
    /// <summary>A device.</summary>
    Device,
    /// <summary>A tensor.</summary>
    Tensor,
}

/// <summary>Which kinds of arguments fit which <see cref="OpType"/>, and the names of both in messages.</summary>
public static class ArgumentKindExtensions
{
    /// <summary>True if an argument of this kind fits a parameter of this type. Whether None fits depends on the parameter.</summary>
    public static bool Fits(this ArgumentKind kind, OpType type) => kind == ArgumentKind.Unknown || type switch
    {
        OpType.Tensor or OpType.Operand =>
            kind is ArgumentKind.Tensor or ArgumentKind.Int or ArgumentKind.Real or ArgumentKind.Bool or ArgumentKind.List,
        OpType.Tensors => kind is ArgumentKind.List,
        OpType.Int => kind is ArgumentKind.Int or ArgumentKind.Tensor,
        OpType.Ints => kind is ArgumentKind.Int or ArgumentKind.List or ArgumentKind.Tensor,
        OpType.Float or OpType.Scalar => kind is ArgumentKind.Int or ArgumentKind.Real or ArgumentKind.Bool or ArgumentKind.Tensor,
        OpType.Floats => kind is ArgumentKind.List or ArgumentKind.Tensor,
        OpType.Bool => kind is ArgumentKind.Bool or ArgumentKind.Tensor,
        OpType.Text => kind is ArgumentKind.Text,
        OpType.DType => kind is ArgumentKind.DType,
        OpType.Device => kind is ArgumentKind.Device or ArgumentKind.Text,
        OpType.Index => kind is not (ArgumentKind.Map or ArgumentKind.DType or ArgumentKind.Device),
        OpType.Any => true,
        _ => false,
    };

    /// <summary>The name of the kind in PyTorch's messages.</summary>
    public static string PythonName(this ArgumentKind kind) => kind switch
    {
        ArgumentKind.None => "NoneType",
        ArgumentKind.Real => "float",
        ArgumentKind.Text => "str",
        ArgumentKind.Map => "dict",
        ArgumentKind.DType => "dtype",
        ArgumentKind.Tensor => "Tensor",
        ArgumentKind.Device => "device",
        _ => kind.ToString().ToLowerInvariant(),
    };

    /// <summary>The name of the type in messages.</summary>
    public static string SchemaName(this OpType type) => type switch
    {
        OpType.Operand => "Tensor or number",
        OpType.Tensors => "list of Tensors",
        OpType.Int => "int",
        OpType.Ints => "int or list of ints",
        OpType.Float => "float",
        OpType.Floats => "list of floats",
        OpType.Scalar => "number",
        OpType.Bool => "bool",
        OpType.Text => "str",
        OpType.DType => "dtype",
        OpType.Device => "device",
        OpType.Index => "index",
        _ => type.ToString(),
    };
}
