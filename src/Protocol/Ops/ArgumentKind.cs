namespace Ndif.Protocol.Ops;

/// <summary>What is known of an argument before the program runs.</summary>
public enum ArgumentKind
{
    /// <summary>The value of another node: fits everywhere until it is computed.</summary>
    Unknown,
    None,
    Bool,
    Int,
    Real,
    Text,
    List,
    Map,
    Slice,
    Ellipsis,
    DType,
    Device,
    Tensor,
}

/// <summary>Which kinds fit which <see cref="OpType"/>, and how both are called in messages.</summary>
public static class ArgumentKindExtensions
{
    /// <summary>True if an argument of this kind may stand for a parameter of this type (None is the parameter's own matter).</summary>
    public static bool Fits(this ArgumentKind kind, OpType type) => kind == ArgumentKind.Unknown || type switch
    {
        OpType.Tensor or OpType.Operand => kind is ArgumentKind.Tensor or ArgumentKind.Int or ArgumentKind.Real or ArgumentKind.Bool or ArgumentKind.List,
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

    /// <summary>The name in PyTorch's messages.</summary>
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

    /// <summary>The name in the op table.</summary>
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
