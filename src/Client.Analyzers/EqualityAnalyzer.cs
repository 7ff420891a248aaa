using Microsoft.CodeAnalysis;
using Microsoft.CodeAnalysis.Diagnostics;
using Microsoft.CodeAnalysis.Operations;

namespace Ndif.Client.Analyzers;

/// <summary>NDIF103: <c>==</c> and <c>!=</c> between values or tensors, which compare references.</summary>
[DiagnosticAnalyzer(LanguageNames.CSharp)]
public sealed class EqualityAnalyzer() : NdifAnalyzer(Rules.Equality)
{
    private protected override void Register(CompilationStartAnalysisContext context, NdifTypes types) =>
        context.RegisterOperationAction(operation => Analyze(operation, types), OperationKind.Binary);

    private void Analyze(OperationAnalysisContext context, NdifTypes types)
    {
        var comparison = (IBinaryOperation)context.Operation;
        if (comparison.OperatorKind is not (BinaryOperatorKind.Equals or BinaryOperatorKind.NotEquals)) return;
        if (IsNull(comparison.LeftOperand) || IsNull(comparison.RightOperand)) return;
        ITypeSymbol? left = Unwrap(comparison.LeftOperand)?.Type, right = Unwrap(comparison.RightOperand)?.Type;
        string method = comparison.OperatorKind is BinaryOperatorKind.Equals ? "Eq" : "Ne";
        string? advice = types.IsValue(left) || types.IsValue(right)
                ? $"In a trace, `a.{method}(b)` compares element by element; after the run, compare the tensors with `a.Tensor.SameAs(b)`"
            : types.IsTensorData(left) || types.IsTensorData(right)
                ? "`a.SameAs(b)` compares the elements, `a.AllClose(b)` within a tolerance" : null;
        if (advice is not null)
            context.ReportDiagnostic(Diagnostic.Create(TheRule, comparison.Syntax.GetLocation(), comparison.Syntax.ToString(), advice));
    }

    private static bool IsNull(IOperation operation) =>
        operation.ConstantValue is { HasValue: true, Value: null } || Unwrap(operation) is IDefaultValueOperation;
}
