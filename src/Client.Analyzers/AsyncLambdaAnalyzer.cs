using System.Linq;
using Microsoft.CodeAnalysis;
using Microsoft.CodeAnalysis.Diagnostics;
using Microsoft.CodeAnalysis.Operations;

namespace Ndif.Client.Analyzers;

/// <summary>NDIF105: an async lambda, or one that returns a task, where a lambda is recorded. The call would throw.</summary>
[DiagnosticAnalyzer(LanguageNames.CSharp)]
public sealed class AsyncLambdaAnalyzer() : NdifAnalyzer(Rules.AsyncLambda)
{
    private protected override void Register(CompilationStartAnalysisContext context, NdifTypes types) =>
        context.RegisterOperationAction(Analyze, OperationKind.Invocation);

    private void Analyze(OperationAnalysisContext context)
    {
        var call = (IInvocationOperation)context.Operation;
        if (!NdifTypes.IsOfNdif(call.TargetMethod)) return;
        foreach (IArgumentOperation argument in call.Arguments)
        {
            if (argument.Parameter?.OriginalDefinition.Type is not INamedTypeSymbol { DelegateInvokeMethod: { } declared }
                || IsTask(declared.ReturnType)) continue; // a parameter for asynchronous functions
            bool isAsync = Unwrap(argument.Value) is IDelegateCreationOperation { Target: var function } && function switch
            {
                IAnonymousFunctionOperation lambda => lambda.Symbol.IsAsync || IsTask(lambda.Symbol.ReturnType),
                IMethodReferenceOperation method => method.Method.IsAsync || IsTask(method.Method.ReturnType),
                _ => false,
            };
            if (isAsync)
                context.ReportDiagnostic(Diagnostic.Create(TheRule, argument.Syntax.GetLocation(), call.TargetMethod.Name));
        }
    }

    private static bool IsTask(ITypeSymbol type) => type is { Name: "Task" or "ValueTask" }
        && type.ContainingNamespace.ToDisplayString() == "System.Threading.Tasks";
}
