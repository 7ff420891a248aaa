using System.Collections.Generic;
using System.Linq;
using Microsoft.CodeAnalysis;
using Microsoft.CodeAnalysis.CSharp;
using Microsoft.CodeAnalysis.CSharp.Syntax;

namespace Ndif.Models.Generator;

/// <summary>
/// The conditions of a shared layer's forward that depend on nothing but the instance's fields and properties
/// (<c>if (_qNorm is not null)</c>). They are constant for the life of a module, so the source of a module shows only the code that the
/// module runs.
/// </summary>
internal sealed class InstanceConditions(SemanticModel model, INamedTypeSymbol type)
{
    private readonly List<string> _expressions = [];
    private readonly Dictionary<IfStatementSyntax, int> _indices = [];

    /// <summary>Each condition as an expression of a module m.</summary>
    public IReadOnlyList<string> Expressions => _expressions;

    /// <summary>True for a class with [SharedLayer] and its derived classes.</summary>
    public static bool AppliesTo(INamedTypeSymbol type)
    {
        for (INamedTypeSymbol? at = type; at is not null; at = at.BaseType)
            if (at.GetAttributes().Any(a => a.AttributeClass?.Name == "SharedLayerAttribute")) return true;
        return false;
    }

    /// <summary>The index of the condition of <c>if (...) return ...;</c> without an else; null for any other statement.</summary>
    public int? FindExit(StatementSyntax statement) =>
        statement is IfStatementSyntax { Else: null, Statement: ReturnStatementSyntax } exit ? Find(exit) : null;

    /// <summary>The index of the statement's condition; null if the condition depends on more than the instance.</summary>
    public int? Find(IfStatementSyntax statement)
    {
        if (_indices.TryGetValue(statement, out int known)) return known;
        List<IdentifierNameSyntax> members = [];
        foreach (IdentifierNameSyntax name in statement.Condition.DescendantNodesAndSelf().OfType<IdentifierNameSyntax>())
        {
            if (name.Parent is MemberAccessExpressionSyntax access && access.Name == name) continue;
            switch (model.GetSymbolInfo(name).Symbol)
            {
                case IFieldSymbol { IsStatic: false } or IPropertySymbol { IsStatic: false }: members.Add(name); break;
                case IFieldSymbol or ITypeSymbol or INamespaceSymbol: break;
                default: return null;
            }
        }
        if (members.Count == 0 || statement.Condition.DescendantNodesAndSelf().Any(node => node is InvocationExpressionSyntax)) return null;
        string module = $"(({type.ToDisplayString(SymbolDisplayFormat.FullyQualifiedFormat)})m)";
        SyntaxNode expression = statement.Condition.ReplaceNodes(members, (name, _) =>
            SyntaxFactory.ParseExpression($"{module}.{name.Identifier.Text}").WithTriviaFrom(name));
        _expressions.Add(expression.ToString());
        return _indices[statement] = _expressions.Count - 1;
    }
}
