using System.Collections.Generic;
using System.IO;
using System.Linq;
using System.Text;
using Microsoft.CodeAnalysis;
using Microsoft.CodeAnalysis.CSharp;
using Microsoft.CodeAnalysis.CSharp.Syntax;
using Microsoft.CodeAnalysis.Text;

namespace Ndif.Models.Generator;

/// <summary>Writes the partial classes: a table and a copy of each function, and for each module the overrides that use them.</summary>
internal sealed class SourceWriter
{
    private const string Namespace = "global::Ndif.Models.ForwardSource";

    private readonly Dictionary<string, (ClassDeclarationSyntax Class, StringBuilder Code)> _classes = [];
    private readonly HashSet<string> _tables = [];

    /// <summary>Adds a function's copy to its class.</summary>
    /// <param name="conditions">The conditions of a shared layer, whose table is a template: a module gets the part that it runs.</param>
    public InstrumentedFunction Add(
        IMethodSymbol method, MethodDeclarationSyntax syntax, SyntaxNode body, IReadOnlyList<OperationEntry> operations,
        InstanceConditions? conditions)
    {
        string suffix = conditions is null ? "Source" : "Template", table = $"{method.Name}{suffix}";
        string type = method.ContainingType.ToDisplayString(SymbolDisplayFormat.FullyQualifiedFormat);
        for (int i = 2; !_tables.Add($"{type}.{table}"); i++) table = $"{method.Name}{suffix}{i}";
        int first = FirstToken(syntax).GetLocation().GetLineSpan().StartLinePosition.Line;
        var code = new StringBuilder();
        string file = $"{Literal(Path.GetFileName(syntax.SyntaxTree.FilePath))}, {first + 1}";
        if (conditions is null)
        {
            string name = Literal($"{method.ContainingType.Name}.{method.Name}");
            code.AppendLine(
                $"    internal static readonly {Namespace}.SourceFunction {table} = new({name}, {file}, {Literal(TextOf(syntax))},");
            AppendList(code, operations.Select(FormatOperation), ");");
        }
        else
        {
            code.AppendLine($"    internal static readonly {Namespace}.SourceTemplate {table} = new({Literal(method.Name)}, {file},");
            AppendList(code, TextLines.Of(TextOf(syntax), first, MarginOf(syntax), syntax, conditions)
                .Select((line, i) => (line, i))
                .Where(l => l.line.Conditions is not null)
                .Select(l => $"new({Literal(l.line.Text)}, {first + 1 + l.i}, {FormatConditions(l.line.Conditions!)})"), ",");
            AppendList(code, operations.Select(FormatTemplateOperation), ",");
            AppendList(code, conditions.Expressions.Select(e => $"static m => ({e})"), ");");
        }
        string access = method.DeclaredAccessibility is Accessibility.Private ? "private" : "internal";
        string parameters = string.Join(", ", syntax.ParameterList.Parameters.Select(p => p.WithDefault(p.Default).ToString())
            .Prepend($"{Namespace}.SourceHooks __hooks"));
        code.AppendLine($"    {access} {(method.IsStatic ? "static " : "")}{syntax.ReturnType} {method.Name}WithHooks({parameters})");
        code.AppendLine($"    {body.ToFullString()}{(syntax.ExpressionBody is null ? "" : ";")}");
        ClassOf(syntax).AppendLine(code.ToString());
        return new InstrumentedFunction($"{type}.{table}", "", operations) { IsTemplate = conditions is not null };
    }

    private static void AppendList(StringBuilder code, IEnumerable<string> items, string end)
    {
        code.AppendLine("    [");
        foreach (string item in items) code.AppendLine($"        {item},");
        code.AppendLine($"    ]{end}");
    }

    private static string FormatTemplateOperation(OperationEntry operation) =>
        $"new({FormatOperation(operation)}, {Literal(operation.BaseName)}, {(operation.IsNamedByChild ? "true" : "false")}, "
        + $"{FormatConditions(operation.Conditions)})";

    private static string FormatConditions(IReadOnlyList<int> conditions) => $"[{string.Join(", ", conditions)}]";

    /// <summary>Adds the overrides that use the copy of the forward to the class of a module.</summary>
    public void AddModule(IMethodSymbol forward, ClassDeclarationSyntax syntax, ArrowExpressionClauseSyntax run, InstrumentedFunction copy)
    {
        var calls = run.DescendantNodes().OfType<InvocationExpressionSyntax>()
            .Where(i => i.Expression is IdentifierNameSyntax { Identifier.Text: "Forward" });
        SyntaxNode hooked = run.ReplaceNodes(calls, (_, call) => call.WithExpression(SyntaxFactory.IdentifierName("ForwardWithHooks"))
            .WithArgumentList(
                call.ArgumentList.WithArguments(
                    call.ArgumentList.Arguments.Insert(0, SyntaxFactory.Argument(SyntaxFactory.IdentifierName("__hooks"))))));
        string field = copy.IsTemplate ? $"    private {Namespace}.SourceFunction? __source;" : "";
        string source = copy.IsTemplate ? $"__source ??= {copy.Table}.For(this)" : copy.Table;
        ClassOf(syntax.Members[0], syntax).AppendLine($$"""
            {{field}}
                public override {{Namespace}}.SourceFunction? Source => {{source}};

                public override object? RunWithHooks({{Namespace}}.SourceHooks __hooks, global::Ndif.Models.Arguments arguments) {{hooked}};
            """);
    }

    public void Finish(SourceProductionContext output)
    {
        foreach (var (name, (syntax, code)) in _classes.Select(c => (c.Key, c.Value)))
        {
            var root = (CompilationUnitSyntax)syntax.SyntaxTree.GetRoot();
            string space = syntax.Ancestors().OfType<BaseNamespaceDeclarationSyntax>().First().Name.ToString();
            output.AddSource($"{name}.g.cs", SourceText.From($$"""
                // <auto-generated/>
                #nullable enable
                #pragma warning disable
                {{string.Join("\n", root.Usings.Select(u => u.ToString()))}}
                namespace {{space}};

                partial class {{syntax.Identifier.Text}}
                {
                {{code}}
                }

                """, Encoding.UTF8));
        }
    }

    private StringBuilder ClassOf(SyntaxNode member) => ClassOf(member, (ClassDeclarationSyntax)member.Parent!);

    private StringBuilder ClassOf(SyntaxNode _, ClassDeclarationSyntax type)
    {
        string space = type.Ancestors().OfType<BaseNamespaceDeclarationSyntax>().First().Name.ToString(),
            name = $"{space}.{type.Identifier.Text}";
        if (!_classes.TryGetValue(name, out var entry)) _classes[name] = entry = (type, new StringBuilder());
        return entry.Code;
    }

    private static string FormatOperation(OperationEntry row)
    {
        string inputs =
            string.Join(", ", row.Inputs.Select(i => $"new({(i.Keyword is null ? "null" : Literal(i.Keyword))}, {Literal(i.Shape)})"));
        var text = new StringBuilder($"new({Literal(row.Name)}, {row.Line}, {Literal(row.Output)}, [{inputs}])");
        List<string> more = [];
        if (row.Inside is { } inside) more.Add($"Inside = static () => {inside.Table}");
        if (row.Submodule is { } module) more.Add($"IsSubmodule = true, Submodule = static m => {module}");
        else if (row.Name.StartsWith("self_", System.StringComparison.Ordinal)) more.Add("IsSubmodule = true");
        if (more.Count > 0) text.Append($" {{ {string.Join(", ", more)} }}");
        return text.ToString();
    }

    /// <summary>The position after the attributes.</summary>
    private static SyntaxToken FirstToken(MethodDeclarationSyntax syntax) =>
        syntax.Modifiers.Count > 0 ? syntax.Modifiers[0] : syntax.ReturnType.GetFirstToken();

    private static int MarginOf(MethodDeclarationSyntax syntax) =>
        FirstToken(syntax).GetLocation().GetLineSpan().StartLinePosition.Character;

    /// <summary>The function as it is written, without documentation and attributes, moved to the left margin.</summary>
    private static string TextOf(MethodDeclarationSyntax syntax)
    {
        int margin = MarginOf(syntax);
        string end = syntax.GetLastToken().TrailingTrivia.FirstOrDefault(t => t.IsKind(SyntaxKind.SingleLineCommentTrivia)).ToString();
        string[] lines =
            (syntax.SyntaxTree.ToString().Substring(FirstToken(syntax).SpanStart, syntax.Span.End - FirstToken(syntax).SpanStart)
                + (end.Length > 0 ? $" {end}" : "")).Replace("\r", "").Split('\n');
        return string.Join("\n",
            lines.Select(l => l.Length >= margin && l.Substring(0, margin).Trim().Length == 0 ? l.Substring(margin) : l));
    }

    private static string Literal(string text) => SymbolDisplay.FormatLiteral(text, quote: true);
}
