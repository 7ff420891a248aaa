using System.Collections.Immutable;
using System.Linq;
using Microsoft.CodeAnalysis;
using Microsoft.CodeAnalysis.Diagnostics;
using Microsoft.CodeAnalysis.Operations;

namespace Ndif.Client.Analyzers;

/// <summary>The base of the analyzers, each of which has one rule and runs only where the client is referenced.</summary>
public abstract class NdifAnalyzer : DiagnosticAnalyzer
{
    private protected NdifAnalyzer(DiagnosticDescriptor rule) => SupportedDiagnostics = ImmutableArray.Create(rule);

    /// <inheritdoc/>
    public override ImmutableArray<DiagnosticDescriptor> SupportedDiagnostics { get; }

    private protected DiagnosticDescriptor TheRule => SupportedDiagnostics[0];

    /// <inheritdoc/>
    public override void Initialize(AnalysisContext context)
    {
        context.ConfigureGeneratedCodeAnalysis(GeneratedCodeAnalysisFlags.None);
        context.EnableConcurrentExecution();
        context.RegisterCompilationStartAction(start =>
        {
            if (NdifTypes.Find(start.Compilation) is { } types) Register(start, types);
        });
    }

    private protected abstract void Register(CompilationStartAnalysisContext context, NdifTypes types);

    /// <summary>The operation without the conversions around it that nobody wrote.</summary>
    private protected static IOperation? Unwrap(IOperation? operation)
    {
        while (operation is IConversionOperation { IsImplicit: true } or IParenthesizedOperation)
            operation = operation is IConversionOperation conversion ? conversion.Operand : ((IParenthesizedOperation)operation).Operand;
        return operation;
    }

    /// <summary>The nearest operation that is no implicit conversion and contains this one.</summary>
    private protected static IOperation? Outer(IOperation operation)
    {
        IOperation? outer = operation.Parent;
        while (outer is IConversionOperation { IsImplicit: true } or IParenthesizedOperation) outer = outer.Parent;
        return outer;
    }

    /// <summary>The operation that contains all others of the member.</summary>
    private protected static IOperation Root(IOperation operation)
    {
        while (operation.Parent is { } parent) operation = parent;
        return operation;
    }

    /// <summary>Whether the member in which the operation is declares the local variable inside of <paramref name="scope"/>.</summary>
    private protected static bool IsDeclaredIn(ISymbol symbol, IOperation scope) => symbol.DeclaringSyntaxReferences.Any(declared =>
        declared.SyntaxTree == scope.Syntax.SyntaxTree && scope.Syntax.Span.Contains(declared.Span));

    /// <summary>The variable, field or parameter that an operation refers to.</summary>
    private protected static ISymbol? Variable(IOperation? operation) => operation switch
    {
        ILocalReferenceOperation local => local.Local,
        IParameterReferenceOperation parameter => parameter.Parameter,
        IFieldReferenceOperation field => field.Field,
        _ => null,
    };
}
