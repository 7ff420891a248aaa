using System.Collections.Generic;
using System.Linq;
using Microsoft.CodeAnalysis;
using Microsoft.CodeAnalysis.CSharp;
using Microsoft.CodeAnalysis.CSharp.Syntax;

namespace Ndif.Models.Generator;

/// <summary>The modules of a compilation, and the functions that their forwards reach.</summary>
internal sealed class ModelSources(Compilation compilation, SourceProductionContext output)
{
    private readonly INamedTypeSymbol? _siteModule = compilation.GetTypeByMetadataName("Ndif.Models.SiteModule");
    private readonly Dictionary<ISymbol, InstrumentedFunction?> _copies = new(SymbolEqualityComparer.Default);
    private readonly SourceWriter _writer = new();

    public void Write()
    {
        if (_siteModule is null) return;
        foreach (SyntaxTree tree in compilation.SyntaxTrees)
        {
            foreach (ClassDeclarationSyntax syntax in tree.GetRoot(output.CancellationToken).DescendantNodes()
                .OfType<ClassDeclarationSyntax>())
            {
                if (compilation.GetSemanticModel(tree).GetDeclaredSymbol(syntax, output.CancellationToken) is { IsAbstract: false } type
                    && IsModule(type)) AddModule(type, syntax);
            }
        }
        _writer.Finish(output);
    }

    public bool IsModule(INamedTypeSymbol type)
    {
        for (INamedTypeSymbol? at = type; at is not null; at = at.BaseType)
            if (SymbolEqualityComparer.Default.Equals(at, _siteModule)) return true;
        return false;
    }

    /// <summary>
    /// Returns the instrumented copy of a function. Returns null for:
    /// - a function outside of this compilation, a generic function, and an abstract function;
    /// - a function whose class is not partial: its call is one operation without a source;
    /// - a function without operations;
    /// - a function that is being copied, which means that it is recursive.
    /// </summary>
    public InstrumentedFunction? InstrumentedCopyOf(IMethodSymbol method)
    {
        method = method.OriginalDefinition;
        if (_copies.TryGetValue(method, out InstrumentedFunction? known)) return known;
        _copies[method] = null;
        if (SyntaxOf(method) is not MethodDeclarationSyntax { Body: not null } and not MethodDeclarationSyntax { ExpressionBody: not null })
            return null;
        if (method.IsGenericMethod || method.IsAbstract || method.ContainingType.IsGenericType) return null;
        var syntax = (MethodDeclarationSyntax)SyntaxOf(method)!;
        if (syntax.Parent is not ClassDeclarationSyntax type || !IsPartial(type)) return null;
        var rewriter = new FunctionRewriter(this, compilation.GetSemanticModel(syntax.SyntaxTree), method, syntax);
        SyntaxNode body = rewriter.Rewrite();
        if (rewriter.Operations.Count == 0 && method.Name != "Forward") return null;
        return _copies[method] = _writer.Add(method, syntax, body, rewriter.Operations, rewriter.Conditions);
    }

    /// <summary>The declaration of a method of this compilation.</summary>
    public BaseMethodDeclarationSyntax? SyntaxOf(IMethodSymbol method) =>
        method.OriginalDefinition.DeclaringSyntaxReferences is { Length: 1 } only
        ? only[0].GetSyntax(output.CancellationToken) as BaseMethodDeclarationSyntax : null;

    public void Report(DiagnosticDescriptor rule, SyntaxNode node, params object[] arguments) =>
        output.ReportDiagnostic(Diagnostic.Create(rule, LocationOf(node.GetLocation()), arguments));

    /// <summary>Returns the location without the syntax tree, because a later compilation without this tree may reuse the output.</summary>
    private static Location LocationOf(Location location) =>
        Location.Create(location.SourceTree!.FilePath, location.SourceSpan, location.GetLineSpan().Span);

    private void AddModule(INamedTypeSymbol type, ClassDeclarationSyntax syntax)
    {
        if (type.GetMembers("Forward").OfType<IMethodSymbol>().FirstOrDefault() is not { } forward || FindRunBody(type) is not { } run)
            return;
        if (!IsPartial(syntax))
        {
            output.ReportDiagnostic(Diagnostic.Create(Diagnostics.NotPartial, LocationOf(syntax.Identifier.GetLocation()), type.Name));
            return;
        }
        if (InstrumentedCopyOf(forward) is { } copy) _writer.AddModule(forward, syntax, run, copy);
    }

    /// <summary>Returns the body of the nearest Run, which calls the forward with arguments that are known at run time.</summary>
    private ArrowExpressionClauseSyntax? FindRunBody(INamedTypeSymbol type)
    {
        for (INamedTypeSymbol? at = type; at is not null; at = at.BaseType)
        {
            IMethodSymbol? run = at.GetMembers("Run").OfType<IMethodSymbol>().FirstOrDefault(m => m.Parameters.Length == 1);
            if (run is not null) return (SyntaxOf(run) as MethodDeclarationSyntax)?.ExpressionBody;
        }
        return null;
    }

    private static bool IsPartial(ClassDeclarationSyntax type) => type.Modifiers.Any(SyntaxKind.PartialKeyword);
}
