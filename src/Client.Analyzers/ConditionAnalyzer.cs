using Microsoft.CodeAnalysis;
using Microsoft.CodeAnalysis.CSharp;
using Microsoft.CodeAnalysis.CSharp.Syntax;
using Microsoft.CodeAnalysis.Diagnostics;

namespace Ndif.Client.Analyzers;

/// <summary>
/// NDIF104: a value as the condition of <c>if</c>, <c>while</c>, <c>?:</c>, <c>&amp;&amp;</c>. The compiler refuses it, with a message that
/// does not say what to write instead.
/// </summary>
[DiagnosticAnalyzer(LanguageNames.CSharp)]
public sealed class ConditionAnalyzer() : NdifAnalyzer(Rules.Condition)
{
    private const string Branch = "Write `t.If(condition, () => ...).Else(() => ...)`, or after the run `if (saved.Item<bool>())`";
    private const string Loop = "Write `t.While(() => condition, () => ..., limit)`";

    private protected override void Register(CompilationStartAnalysisContext context, NdifTypes types) =>
        context.RegisterSyntaxNodeAction(node => Analyze(node, types), SyntaxKind.IfStatement, SyntaxKind.WhileStatement,
            SyntaxKind.DoStatement, SyntaxKind.ForStatement, SyntaxKind.ConditionalExpression, SyntaxKind.LogicalAndExpression,
            SyntaxKind.LogicalOrExpression);

    private void Analyze(SyntaxNodeAnalysisContext context, NdifTypes types)
    {
        (ExpressionSyntax? condition, string advice) = context.Node switch
        {
            IfStatementSyntax branch => (branch.Condition, Branch),
            WhileStatementSyntax loop => (loop.Condition, Loop),
            DoStatementSyntax loop => (loop.Condition, Loop),
            ForStatementSyntax loop => (loop.Condition, Loop),
            ConditionalExpressionSyntax choice => (choice.Condition, "Write `Op.Where(condition, a, b)`, or `t.If(...)` for statements"),
            BinaryExpressionSyntax logical => (FirstValue(logical), $"Write `{logical.OperatorToken.Text[0]}`, element by element"),
            _ => (null, ""),
        };
        if (condition is not null && IsValue(condition))
            context.ReportDiagnostic(Diagnostic.Create(TheRule, condition.GetLocation(), condition.ToString(), advice));

        ExpressionSyntax? FirstValue(BinaryExpressionSyntax logical) =>
            IsValue(logical.Left) ? logical.Left : IsValue(logical.Right) ? logical.Right : null;

        bool IsValue(ExpressionSyntax expression) =>
            types.IsValue(context.SemanticModel.GetTypeInfo(expression, context.CancellationToken).Type);
    }
}
