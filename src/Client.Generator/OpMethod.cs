using System;
using System.Collections.Generic;
using System.Linq;
using System.Text;
using Microsoft.CodeAnalysis.CSharp;
using Ndif.Protocol.Ops;

namespace Ndif.Client.Generator;

/// <summary>
/// The C# method for one row of the op table.
/// 1. An operation whose first parameter is <c>self</c> is a method of <c>Value</c>, another one a function of <c>Op</c>. Its name is
///    PyTorch's in Pascal case. A row can name another method (<c>NanSum</c>), or another type too (<c>Op.ZerosLike</c>).
/// 2. A required parameter is recorded by position, one with a default as a keyword, and only where the caller sets it.
/// 3. A required list of sizes in the last place of a method is <c>params</c>.
/// </summary>
internal sealed class OpMethod
{
    private readonly OpRow _row;
    private readonly string _operation;
    private readonly string _name;
    private readonly List<OpMethodParameter> _parameters = [];

    /// <exception cref="FormatException">The row is not a schema, or has a type that no C# parameter can have.</exception>
    public OpMethod(OpRow row)
    {
        _row = row;
        string schema = row.Schema;
        int open = schema.IndexOf('(');
        int close = schema.LastIndexOf(')', schema.LastIndexOf("->", StringComparison.Ordinal));
        _operation = schema.Substring(0, open);
        foreach (string parameter in schema.Substring(open + 1, close - open - 1).Split([", "], StringSplitOptions.RemoveEmptyEntries))
            if (parameter != "*") _parameters.Add(new OpMethodParameter(parameter, schema));
        IsInstance = _parameters.Count > 0 && _parameters[0].SchemaName == "self";
        _name = row.Method.Length > 0 ? row.Method : PascalCase(_operation);
        if (_name.StartsWith("Op.", StringComparison.Ordinal)) (IsInstance, _name) = (false, _name.Substring("Op.".Length));
    }

    /// <summary>A method of <c>Value</c>; otherwise a function of <c>Op</c>.</summary>
    public bool IsInstance { get; }

    /// <summary>The declaration with its documentation.</summary>
    public string Write()
    {
        List<OpMethodParameter> declared = [.. IsInstance ? _parameters.Skip(1) : _parameters];
        bool hasParams = IsInstance && declared.Count > 0 && declared[declared.Count - 1] is { IsRequired: true, CSharpType: "Ints" };
        string parameters = string.Join(", ", declared.Select((parameter, i) =>
            (hasParams && i == declared.Count - 1 ? "params " : "") + parameter.Declaration));
        IEnumerable<OpMethodParameter> required = _parameters.Where(p => p.IsRequired);
        string positional = string.Join(", ", required.Select((p, i) => IsInstance && i == 0 ? "this" : p.Name));
        string keywords = string.Concat(_parameters.Where(p => !p.IsRequired).Select(p => $", (\"{p.SchemaName}\", {p.Recorded})"));
        string summary = _row.Summary.Length > 0 ? Escape(_row.Summary) + " " : "";
        var source = new StringBuilder();
        source.Append($"    /// <summary>{summary}<para>PyTorch: <c>{Escape(_row.Schema)}</c></para></summary>\n");
        source.Append($"    public {(IsInstance ? "" : "static ")}Value {_name}({parameters}) => ");
        source.Append($"{(IsInstance ? "" : "Value.")}Record(\"{_operation}\", [{positional}]{keywords});\n");
        return source.ToString();
    }

    private static string PascalCase(string name)
    {
        string pascal = string.Concat(name.Split('_').Select(word =>
            word.Length == 0 ? "" : char.ToUpperInvariant(word[0]) + word.Substring(1)));
        return name.EndsWith("_", StringComparison.Ordinal) ? pascal + "_" : pascal;
    }

    private static string Escape(string text) => text.Replace("&", "&amp;").Replace("<", "&lt;").Replace(">", "&gt;");
}

/// <summary>One parameter of a schema: <c>int dim=-1</c>.</summary>
internal sealed class OpMethodParameter
{
    public OpMethodParameter(string parameter, string schema)
    {
        int space = parameter.IndexOf(' '), equals = parameter.IndexOf('=');
        if (space < 0) throw new FormatException($"`{parameter}` in `{schema}` has no type.");
        string type = parameter.Substring(0, space).TrimEnd('?');
        IsRequired = equals < 0;
        SchemaName = IsRequired ? parameter.Substring(space + 1) : parameter.Substring(space + 1, equals - space - 1);
        Name = CamelCase(SchemaName);
        CSharpType = type switch
        {
            "Tensor" or "Operand" or "int" or "float" or "Scalar" or "Any" => "Value",
            "int[]" => "Ints",
            "Tensor[]" => "IEnumerable<Value>",
            "bool" => "bool",
            "str" or "Device" => "string",
            "ScalarType" => "DType",
            _ => throw new FormatException(
                $"`{type}` in `{schema}` has no C# type; write the method by hand and mark the row `# {OpRow.ByHand}`."),
        };
        bool isTrue = !IsRequired && parameter.Substring(equals + 1) == "True";
        bool isFlag = CSharpType == "bool" && !IsRequired;
        Declaration = IsRequired ? $"{CSharpType} {Name}"
            : isFlag ? $"bool {Name} = {(isTrue ? "true" : "false")}" : $"{CSharpType}? {Name} = null";
        Recorded = isFlag ? isTrue ? $"{Name} ? null : false" : $"{Name} ? true : null" : Name;
    }

    /// <summary>The name in the schema, which is the keyword.</summary>
    public string SchemaName { get; }

    /// <summary>The name in C#.</summary>
    public string Name { get; }

    public string CSharpType { get; }

    public bool IsRequired { get; }

    /// <summary>Type, name and default as the method declares them.</summary>
    public string Declaration { get; }

    /// <summary>The expression that is recorded: null, which is not recorded, for a flag with its default.</summary>
    public string Recorded { get; }

    private static string CamelCase(string name)
    {
        if (!name.Any(char.IsLower)) return name.ToLowerInvariant();
        string[] words = name.Split('_');
        string camel = words[0] + string.Concat(words.Skip(1).Select(word => char.ToUpperInvariant(word[0]) + word.Substring(1)));
        return SyntaxFacts.GetKeywordKind(camel) == SyntaxKind.None ? camel : "@" + camel;
    }
}
