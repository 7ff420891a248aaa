using System.Linq;
using Microsoft.CodeAnalysis;
using Microsoft.CodeAnalysis.CSharp.Syntax;
using Microsoft.CodeAnalysis.Diagnostics;
using Microsoft.CodeAnalysis.Operations;

namespace Ndif.Client.Analyzers;

/// <summary>
/// NDIF102: <c>x *= 0</c> on a variable that was read from a site and is not written back to one, or whose new value nothing reads. A sum
/// that is collected in a variable (<c>Value sum = 0; ... sum += loss;</c>) is ordinary C#.
/// </summary>
[DiagnosticAnalyzer(LanguageNames.CSharp)]
public sealed class CompoundAssignmentAnalyzer() : NdifAnalyzer(Rules.CompoundAssignment)
{
    private protected override void Register(CompilationStartAnalysisContext context, NdifTypes types) =>
        context.RegisterOperationAction(operation => Analyze(operation, types), OperationKind.CompoundAssignment);

    private void Analyze(OperationAnalysisContext context, NdifTypes types)
    {
        var assignment = (ICompoundAssignmentOperation)context.Operation;
        IOperation target = assignment.Target;
        if (target is not (ILocalReferenceOperation or IParameterReferenceOperation { Parameter.RefKind: RefKind.None })
            || !types.IsValue(target.Type) || Variable(target) is not { } variable
            || Outer(assignment) is not IExpressionStatementOperation) return; // the result is used at once

        IOperation[] operations = [.. Root(assignment).Descendants()];
        IOperation[] reads =
        [
            .. operations.Where(reference => reference != target && SymbolEqualityComparer.Default.Equals(Variable(reference), variable)
                && !IsTarget(reference) && CanFollow(reference, assignment, variable)),
        ];
        if (reads.Any(read => IsWrittenToSite(read, types)) || (reads.Length > 0 && !IsOfSite(operations, variable, types))) return;

        var syntax = (AssignmentExpressionSyntax)assignment.Syntax;
        string value = syntax.Right.ToString();
        if (syntax.Right is BinaryExpressionSyntax or ConditionalExpressionSyntax) value = $"({value})";
        context.ReportDiagnostic(Diagnostic.Create(TheRule, syntax.GetLocation(), syntax.ToString(), variable.Name,
            $"{variable.Name} {syntax.OperatorToken.Text.TrimEnd('=')} {value}"));
    }

    private static bool IsTarget(IOperation reference) => reference.Parent is IAssignmentOperation assignment
        && assignment.Target == reference;

    /// <summary>
    /// Whether a reference can run after the assignment: it stands behind it, in a loop around both, or in another function.
    /// </summary>
    private static bool CanFollow(IOperation reference, IOperation assignment, ISymbol variable)
    {
        if (reference.Syntax.SpanStart > assignment.Syntax.Span.End) return true;
        for (IOperation? outer = assignment.Parent; outer is not null; outer = outer.Parent)
        {
            bool isRepeated = outer is ILoopOperation or IAnonymousFunctionOperation or ILocalFunctionOperation;
            if (isRepeated && outer.Syntax.Span.Contains(reference.Syntax.Span) && !IsDeclaredIn(variable, outer)) return true;
        }
        return FunctionOf(reference) != FunctionOf(assignment);
    }

    private static IOperation? FunctionOf(IOperation? operation)
    {
        while (operation is not (null or IAnonymousFunctionOperation or ILocalFunctionOperation)) operation = operation.Parent;
        return operation;
    }

    /// <summary>Whether a read is part of what is assigned to a site or to a part of a value.</summary>
    private static bool IsWrittenToSite(IOperation read, NdifTypes types)
    {
        for (IOperation? inner = read, outer = read.Parent; outer is not null; (inner, outer) = (outer, outer.Parent))
        {
            if (outer is IAssignmentOperation { Target: IPropertyReferenceOperation { Instance: { } owner } } assignment
                && assignment.Value == inner && (types.HasSites(owner.Type) || types.IsValue(owner.Type))) return true;
            if (outer is IBlockOperation) return false;
        }
        return false;
    }

    /// <summary>Whether something that the variable is set to is a site of the model, or a part of one.</summary>
    private static bool IsOfSite(IOperation[] operations, ISymbol variable, NdifTypes types) => operations.Any(operation => operation switch
    {
        IVariableDeclaratorOperation declared => SymbolEqualityComparer.Default.Equals(declared.Symbol, variable)
            && IsSite(declared.Initializer?.Value, types),
        ISimpleAssignmentOperation assignment => SymbolEqualityComparer.Default.Equals(Variable(assignment.Target), variable)
            && IsSite(assignment.Value, types),
        _ => false,
    });

    private static bool IsSite(IOperation? value, NdifTypes types)
    {
        while (Unwrap(value) is IPropertyReferenceOperation { Instance: { } owner })
        {
            if (types.HasSites(owner.Type)) return true;
            value = owner; // x[..] is a part of x
        }
        return false;
    }
}
