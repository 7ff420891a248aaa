using System.Linq;
using Microsoft.CodeAnalysis;
using Microsoft.CodeAnalysis.Diagnostics;
using Microsoft.CodeAnalysis.Operations;

namespace Ndif.Client.Analyzers;

/// <summary>NDIF101: a trace or session that is opened in a member, does not leave it, and is not run in it.</summary>
[DiagnosticAnalyzer(LanguageNames.CSharp)]
public sealed class TraceNeverRunAnalyzer() : NdifAnalyzer(Rules.TraceNeverRun)
{
    private protected override void Register(CompilationStartAnalysisContext context, NdifTypes types) =>
        context.RegisterOperationBlockAction(block => Analyze(block, types));

    private void Analyze(OperationBlockAnalysisContext context, NdifTypes types)
    {
        IOperation[] operations = [.. context.OperationBlocks.SelectMany(block => block.Descendants())];
        bool hasSession = operations.Any(operation => types.IsSession(operation.Type));
        foreach (IInvocationOperation opened in operations.OfType<IInvocationOperation>())
        {
            bool isTrace = types.IsTrace(opened.Type);
            // a trace in a session runs with the session
            if (!types.HasSites(opened.TargetMethod.ContainingType) || !(isTrace ? !hasSession : types.IsSession(opened.Type))) continue;
            string kind = isTrace ? "trace" : "session", name = "trace";
            IOperation? holder = Outer(opened);
            if (holder is IVariableInitializerOperation { Parent: IVariableDeclaratorOperation { Symbol: var local } })
            {
                name = local.Name;
                if (operations.OfType<ILocalReferenceOperation>().Any(use => Is(use, local) && RunsOrLeaves(use))) continue;
            }
            else if (holder is not (IExpressionStatementOperation or IUsingOperation)) continue; // it leaves the member
            context.ReportDiagnostic(Diagnostic.Create(TheRule, opened.Syntax.GetLocation(), kind, name));
        }

        static bool Is(ILocalReferenceOperation use, ILocalSymbol local) => SymbolEqualityComparer.Default.Equals(use.Local, local);
    }

    /// <summary>Whether a use runs the trace, or hands it to code that may run it.</summary>
    private static bool RunsOrLeaves(ILocalReferenceOperation use) => Outer(use) switch
    {
        IInvocationOperation call when Unwrap(call.Instance) == use => call.TargetMethod.Name
            is "RunAsync" or "Run" or "SubmitAsync" or "ToProgram" or "EstimateAsync",
        IMemberReferenceOperation member => Unwrap(member.Instance) != use || member is IMethodReferenceOperation,
        IUsingOperation => false,
        _ => true,
    };
}
