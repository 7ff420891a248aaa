using System.Linq;
using Microsoft.CodeAnalysis;
using Microsoft.CodeAnalysis.Diagnostics;
using Microsoft.CodeAnalysis.Operations;

namespace Ndif.Client.Analyzers;

/// <summary>
/// NDIF106: the result of <c>Save()</c> is discarded, in a member that runs its trace. A save with a name, and every save of a submitted
/// job, can be read from the results of the job.
/// </summary>
[DiagnosticAnalyzer(LanguageNames.CSharp)]
public sealed class UnreadSaveAnalyzer() : NdifAnalyzer(Rules.UnreadSave)
{
    private protected override void Register(CompilationStartAnalysisContext context, NdifTypes types) =>
        context.RegisterOperationBlockAction(block => Analyze(block, types));

    private void Analyze(OperationBlockAnalysisContext context, NdifTypes types)
    {
        IOperation[] operations = [.. context.OperationBlocks.SelectMany(block => block.Descendants())];
        string[] used = [.. operations.Select(NameOf).OfType<string>()];
        if (!used.Any(name => name is "RunAsync" or "Run" or "TraceAsync")
            || used.Any(name => name is "SubmitAsync" or "Results" or "OnEvent" or "ToProgram")) return;
        foreach (IInvocationOperation save in operations.OfType<IInvocationOperation>())
        {
            if (save.TargetMethod.Name is not "Save" || !types.IsValue(save.TargetMethod.ContainingType)) continue;
            bool hasName = save.Arguments.Any(argument => argument.ArgumentKind is ArgumentKind.Explicit);
            if (!hasName && IsDiscarded(save, operations))
                context.ReportDiagnostic(Diagnostic.Create(TheRule, save.Syntax.GetLocation()));
        }

        string? NameOf(IOperation operation) => operation switch
        {
            IInvocationOperation call when NdifTypes.IsOfNdif(call.TargetMethod) => call.TargetMethod.Name,
            IPropertyReferenceOperation { Property: { Name: "Results" or "OnEvent" } property } => property.Name,
            _ => null,
        };
    }

    private static bool IsDiscarded(IInvocationOperation save, IOperation[] operations) => Outer(save) switch
    {
        IExpressionStatementOperation => true,
        IVariableInitializerOperation { Parent: IVariableDeclaratorOperation { Symbol: var local } } =>
            !operations.OfType<ILocalReferenceOperation>().Any(use => SymbolEqualityComparer.Default.Equals(use.Local, local)),
        _ => false,
    };
}
