using System.Collections.Generic;
using System.Linq;
using System.Text;
using Microsoft.CodeAnalysis;
using Microsoft.CodeAnalysis.CSharp;
using Microsoft.CodeAnalysis.CSharp.Syntax;

namespace Ndif.Models.Generator;

/// <summary>
/// Names operations as PyTorch or Hugging Face do, so published code works unchanged. The call of a submodule has the name "self_" and
/// the name of the submodule; an operator has the name of PyTorch's function; an attribute can give a function of this project Hugging
/// Face's name. Names are an API: a change breaks users' code.
/// </summary>
internal static class OperationNames
{
    private static readonly Dictionary<string, string> _operators = new()
    {
        ["op_Addition"] = "add", ["op_Subtraction"] = "sub", ["op_Multiply"] = "mul", ["op_Division"] = "div", ["op_Modulus"] = "remainder",
        ["op_BitwiseAnd"] = "bitwise_and", ["op_BitwiseOr"] = "bitwise_or", ["op_ExclusiveOr"] = "bitwise_xor",
        ["op_GreaterThan"] = "gt", ["op_GreaterThanOrEqual"] = "ge", ["op_LessThan"] = "lt", ["op_LessThanOrEqual"] = "le",
        ["op_Equality"] = "eq", ["op_Inequality"] = "ne", ["op_UnaryNegation"] = "neg", ["op_OnesComplement"] = "bitwise_not",
        ["op_LogicalNot"] = "logical_not",
    };

    /// <summary>"add"; null for a method that is not an operator on tensors.</summary>
    public static string? OfOperator(IMethodSymbol symbol) => _operators.TryGetValue(symbol.Name, out string name) ? name : null;

    public static string OfFunction(IMethodSymbol called, ExpressionSyntax callee)
    {
        if (called.MethodKind is MethodKind.DelegateInvoke) return Snake(callee.ToString());
        foreach (AttributeData attribute in called.GetAttributes())
            if (attribute.AttributeClass?.Name == "OperationAttribute" && attribute.ConstructorArguments[0].Value is string name)
                return name;
        return called.DeclaringSyntaxReferences.Length > 0 ? Snake(called.Name) : called.Name;
    }

    /// <summary>
    /// "self_c_attn" for <c>_cAttn</c>, which the constructor creates as Child("c_attn", ...); "self_h" for <c>_h[layer]</c>.
    /// </summary>
    public static string OfSubmodule(ExpressionSyntax receiver, SyntaxNode type)
    {
        List<string> parts = [];
        for (ExpressionSyntax? at = receiver; at is not null;)
        {
            switch (at)
            {
                case ElementAccessExpressionSyntax element: at = element.Expression; break;
                case MemberAccessExpressionSyntax member: parts.Insert(0, Snake(member.Name.Identifier.Text)); at = member.Expression;
                break;
                case PostfixUnaryExpressionSyntax suppressed: at = suppressed.Operand; break;
                case IdentifierNameSyntax field: parts.Insert(0, ChildName(field.Identifier.Text, type) ?? Snake(field.Identifier.Text));
                at = null; break;
                default: at = null; break;
            }
        }
        return "self_" + string.Join("_", parts);
    }

    /// <summary>Returns the name that the constructor gives the child of a field.</summary>
    private static string? ChildName(string field, SyntaxNode type) => type.DescendantNodes().OfType<AssignmentExpressionSyntax>()
        .Where(a => a.Left is IdentifierNameSyntax left && left.Identifier.Text == field)
        .Select(a => a.Right).OfType<InvocationExpressionSyntax>()
        .Select(call => call.ArgumentList.Arguments.FirstOrDefault()?.Expression).OfType<LiteralExpressionSyntax>()
        .Where(literal => literal.IsKind(SyntaxKind.StringLiteralExpression))
        .Select(literal => literal.Token.ValueText).FirstOrDefault();

    /// <summary>"apply_rotary" for ApplyRotary and _applyRotary.</summary>
    private static string Snake(string name)
    {
        var text = new StringBuilder();
        foreach (char c in name.TrimStart('_'))
        {
            if (char.IsUpper(c) && text.Length > 0 && text[text.Length - 1] != '_') text.Append('_');
            text.Append(char.ToLowerInvariant(c));
        }
        return text.ToString();
    }
}
