using System.Linq;
using Microsoft.CodeAnalysis;
using Microsoft.CodeAnalysis.Diagnostics;
using Microsoft.CodeAnalysis.Operations;

namespace Ndif.Client.Analyzers;

/// <summary>
/// NDIF107: a save in a loop over steps that goes to a variable outside of the loop, so that the save of the last step remains. The lambda
/// of <c>Iter.Each</c>, <c>ForEach</c> and <c>While</c> is recorded once, so there a list of C# receives one save too.
/// </summary>
[DiagnosticAnalyzer(LanguageNames.CSharp)]
public sealed class LastSaveAnalyzer() : NdifAnalyzer(Rules.LastSave)
{
    private const string ProgramList =
        "Append the value to a list of the program, `var list = t.List();` before the loop, `list.Append(value)` in it, and save the list";

    private protected override void Register(CompilationStartAnalysisContext context, NdifTypes types) =>
        context.RegisterOperationAction(operation => Analyze(operation, types), OperationKind.Invocation);

    private void Analyze(OperationAnalysisContext context, NdifTypes types)
    {
        var save = (IInvocationOperation)context.Operation;
        if (save.TargetMethod.Name is not "Save" || !types.IsSaved(save.Type) || types.IsContainer(Unwrap(save.Instance)?.Type)) return;
        (ISymbol? variable, bool isAdded) = Outer(save) switch
        {
            ISimpleAssignmentOperation assignment when Unwrap(assignment.Value) == save => (Variable(assignment.Target), false),
            IArgumentOperation { Parent: IInvocationOperation { TargetMethod.Name: "Add", Instance: { } list } } => (Variable(list), true),
            _ => (null, false),
        };
        if (variable is null) return;

        for (IOperation? outer = save.Parent; outer is not null; outer = outer.Parent)
        {
            switch (outer)
            {
                case IConditionalOperation or ISwitchOperation: return; // the step is chosen
                case IAnonymousFunctionOperation lambda when !IsDeclaredIn(variable, lambda):
                    if (Loop(lambda) is { } repetition) Report(repetition, ProgramList);
                    return;
                case IForEachLoopOperation loop when !isAdded && IsUnrolled(loop, types) && !IsDeclaredIn(variable, loop)
                    && !IsReadIn(loop, variable):
                    Report("step", "Add each save to a list, `saves.Add(value.Save())`");
                    return;
            }
        }

        void Report(string repetition, string advice) =>
            context.ReportDiagnostic(Diagnostic.Create(TheRule, save.Syntax.GetLocation(), repetition, variable.Name, advice));
    }

    /// <summary>What the program repeats if the lambda is the body of a loop; null for any other lambda.</summary>
    private static string? Loop(IAnonymousFunctionOperation lambda)
    {
        IOperation? outer = lambda.Parent;
        while (outer is IDelegateCreationOperation or IConversionOperation or IArgumentOperation) outer = outer.Parent;
        return outer is IInvocationOperation call && NdifTypes.IsOfNdif(call.TargetMethod)
            ? call.TargetMethod.Name switch { "Each" => "step", "ForEach" or "While" => "repetition", _ => null }
            : null;
    }

    /// <summary>Whether the loop is over several steps: <c>t.Iter[..]</c>, <c>t.All()</c>, but not <c>t.Iter[2]</c>.</summary>
    private static bool IsUnrolled(IForEachLoopOperation loop, NdifTypes types) => Unwrap(loop.Collection) switch
    {
        IPropertyReferenceOperation { Instance: { } owner } steps => types.IsIteration(owner.Type)
            && steps.Property.Parameters[0].Type.SpecialType is not SpecialType.System_Int32,
        IInvocationOperation call => call.TargetMethod.Name is "All" && types.IsTrace(call.TargetMethod.ContainingType),
        _ => false,
    };

    private static bool IsReadIn(IOperation loop, ISymbol variable) => loop.Descendants().Any(operation =>
        SymbolEqualityComparer.Default.Equals(Variable(operation), variable)
        && !(operation.Parent is ISimpleAssignmentOperation assignment && assignment.Target == operation));
}
