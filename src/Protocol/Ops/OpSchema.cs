using System.Globalization;

namespace Ndif.Protocol.Ops;

/// <summary>The type of an operation's parameter, as PyTorch's schemas name it.</summary>
public enum OpType
{
    /// <summary>Tensor</summary>
    Tensor,
    /// <summary>Tensor, or a number that becomes one</summary>
    Operand,
    /// <summary>Tensor[]</summary>
    Tensors,
    /// <summary>int</summary>
    Int,
    /// <summary>int or int[]</summary>
    Ints,
    /// <summary>float</summary>
    Float,
    /// <summary>float[]</summary>
    Floats,
    /// <summary>number</summary>
    Scalar,
    /// <summary>bool</summary>
    Bool,
    /// <summary>str</summary>
    Text,
    /// <summary>ScalarType</summary>
    DType,
    /// <summary>Device</summary>
    Device,
    /// <summary>the entries between the brackets of x[...]</summary>
    Index,
    /// <summary>anything</summary>
    Any,
}

/// <summary>One parameter of an operation.</summary>
/// <param name="Name">PyTorch's name.</param>
/// <param name="Type">The type of its arguments.</param>
/// <param name="Optional">None is allowed.</param>
/// <param name="HasDefault">The argument can be left out.</param>
/// <param name="Default">The value of an argument that is left out.</param>
/// <param name="KeywordOnly">The argument must be passed by name: in the schema the parameter follows the '*'.</param>
public sealed record OpParameter(string Name, OpType Type, bool Optional, bool HasDefault, object? Default, bool KeywordOnly);

/// <summary>One row of the op table.</summary>
/// <param name="Name">PyTorch's name; it ends with '_' if the operation changes its first argument in place.</param>
/// <param name="Parameters">The parameters in order.</param>
/// <param name="Returns">The number of results.</param>
/// <param name="Text">The schema as the row has it.</param>
public sealed record OpSchema(string Name, IReadOnlyList<OpParameter> Parameters, int Returns, string Text)
{
    /// <summary>True if the operation changes its first argument in place.</summary>
    public bool InPlace => Name.EndsWith('_');

    /// <summary>The position of a parameter, or -1.</summary>
    public int IndexOf(string parameter)
    {
        for (int i = 0; i < Parameters.Count; i++)
            if (Parameters[i].Name == parameter) return i;
        return -1;
    }

    /// <summary>
    /// Reads a schema in the language of PyTorch's native_functions.yaml, such as
    /// <c>softmax(Tensor self, int dim, *, ScalarType? dtype=None) -> Tensor</c>. Three types are added to PyTorch's: <c>Operand</c> (a
    /// tensor or a number), <c>Index</c> and <c>Any</c>.
    /// </summary>
    /// <exception cref="FormatException">A parameter has an unknown type.</exception>
    public static OpSchema Parse(string text)
    {
        int open = text.IndexOf('('), arrow = text.LastIndexOf("->", StringComparison.Ordinal);
        string name = text[..open].Trim(), result = text[(arrow + 2)..].Trim();
        int close = text.LastIndexOf(')', arrow);
        List<OpParameter> parameters = [];
        bool keywordOnly = false;
        foreach (string part in text[(open + 1)..close].Split(", ", StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries))
        {
            if (part == "*") { keywordOnly = true; continue; }
            int space = part.IndexOf(' ');
            string type = part[..space], rest = part[(space + 1)..];
            int equals = rest.IndexOf('=');
            bool optional = type.EndsWith('?');
            OpType opType = TypeOf(optional ? type[..^1] : type, text);
            parameters.Add(equals < 0
                ? new OpParameter(rest, opType, optional, false, null, keywordOnly)
                : new OpParameter(rest[..equals], opType, optional, true, Literal(rest[(equals + 1)..], opType), keywordOnly));
        }
        int returns = result.StartsWith('(') ? result.Count(c => c == ',') + 1 : 1;
        return new OpSchema(name, parameters, returns, text);
    }

    private static OpType TypeOf(string type, string schema) => type switch
    {
        "Tensor" => OpType.Tensor,
        "Operand" => OpType.Operand,
        "Tensor[]" => OpType.Tensors,
        "int" => OpType.Int,
        "int[]" => OpType.Ints,
        "float" => OpType.Float,
        "float[]" => OpType.Floats,
        "Scalar" => OpType.Scalar,
        "bool" => OpType.Bool,
        "str" => OpType.Text,
        "ScalarType" => OpType.DType,
        "Device" => OpType.Device,
        "Index" => OpType.Index,
        "Any" => OpType.Any,
        _ => throw new FormatException($"Unknown type `{type}` in the op schema `{schema}`."),
    };

    private static object? Literal(string text, OpType type) => text switch
    {
        "None" => null,
        "True" => true,
        "False" => false,
        "[]" => Array.Empty<long>(),
        _ when text.StartsWith('\'') => text.Trim('\''),
        _ when text.StartsWith('[') => text.Trim('[', ']').Split(',').Select(s => long.Parse(s, CultureInfo.InvariantCulture)).ToArray(),
        _ when type is OpType.Float || text.Contains('.') || text.Contains("e-", StringComparison.Ordinal) =>
            double.Parse(text, CultureInfo.InvariantCulture),
        _ when type is OpType.Int or OpType.Ints or OpType.Scalar or OpType.Operand or OpType.Any =>
            long.Parse(text, CultureInfo.InvariantCulture),
        _ => text,
    };
}
