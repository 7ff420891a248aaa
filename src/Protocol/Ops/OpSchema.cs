namespace Ndif.Protocol.Ops;

/// <summary>What an operation's parameter takes, in the words of PyTorch's schemas.</summary>
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
    /// <summary>what stands between the brackets of x[...]</summary>
    Index,
    /// <summary>anything</summary>
    Any,
}

/// <param name="Name">As in PyTorch.</param>
/// <param name="Optional">None is allowed.</param>
/// <param name="HasDefault">May be left out; then <paramref name="Default"/>.</param>
/// <param name="KeywordOnly">Stands after the '*'.</param>
public sealed record OpParameter(string Name, OpType Type, bool Optional, bool HasDefault, object? Default, bool KeywordOnly);

/// <summary>One row of the op table.</summary>
/// <param name="Name">PyTorch's name; ends with '_' if it changes its first argument in place.</param>
public sealed record OpSchema(string Name, IReadOnlyList<OpParameter> Parameters, int Returns, string Text)
{
    /// <summary>Changes its first argument in place.</summary>
    public bool InPlace => Name.EndsWith('_');

    /// <summary>The position of a parameter, or -1.</summary>
    public int IndexOf(string parameter)
    {
        for (int i = 0; i < Parameters.Count; i++)
            if (Parameters[i].Name == parameter) return i;
        return -1;
    }

    /// <summary>
    /// Reads a schema in the form of PyTorch's native_functions.yaml, as
    /// <c>softmax(Tensor self, int dim, *, ScalarType? dtype=None) -> Tensor</c>. Besides PyTorch's types: <c>Operand</c> (a
    /// tensor or a number), <c>Index</c> and <c>Any</c>.
    /// </summary>
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
        _ when text.StartsWith('[') => text.Trim('[', ']').Split(',').Select(s => long.Parse(s, System.Globalization.CultureInfo.InvariantCulture)).ToArray(),
        _ when type is OpType.Float || text.Contains('.') || text.Contains("e-", StringComparison.Ordinal) => double.Parse(text, System.Globalization.CultureInfo.InvariantCulture),
        _ when type is OpType.Int or OpType.Ints or OpType.Scalar or OpType.Operand or OpType.Any => long.Parse(text, System.Globalization.CultureInfo.InvariantCulture),
        _ => text,
    };
}
