using System.Collections.Generic;
using System.Linq;
using System.Text.RegularExpressions;
using Microsoft.CodeAnalysis;
using Microsoft.CodeAnalysis.CSharp;
using Microsoft.CodeAnalysis.CSharp.Syntax;

namespace Ndif.Models.Generator;

/// <summary>Reads shapes from comments and XML documentation.</summary>
internal static class ShapeDocumentation
{
    /// <summary>
    /// The default shapes of the parameters of a forward. The documentation of a parameter overrides its default.
    /// </summary>
    private static readonly Dictionary<string, string> _defaultShapes = new()
    {
        ["hidden"] = "[batch, seq, hidden]", ["residual"] = "[batch, seq, hidden]", ["mask"] = "[batch, 1, seq, kvSeq]",
        ["inputIds"] = "[batch, seq]", ["positionIds"] = "[batch, seq]", ["attentionMask"] = "[batch, kvSeq]",
        ["positionEmbeddings"] = "[batch, seq, hidden]", ["alibi"] = "[batch, heads, 1, kvSeq]",
    };

    /// <summary>A comment after the statement, or a line before it that is only a shape.</summary>
    public static SymbolicShape? Comment(StatementSyntax statement)
    {
        SyntaxTrivia behind = statement.GetLastToken().TrailingTrivia.FirstOrDefault(t => t.IsKind(SyntaxKind.SingleLineCommentTrivia));
        if (SymbolicShape.Parse(behind.ToString()) is { } form) return form;
        SyntaxTrivia before = statement.GetFirstToken().LeadingTrivia.LastOrDefault(t => t.IsKind(SyntaxKind.SingleLineCommentTrivia));
        return before.ToString().StartsWith("// [", System.StringComparison.Ordinal) ? SymbolicShape.Parse(before.ToString()) : null;
    }

    public static SymbolicShape? Returns(SyntaxNode method) => Section(method, "<returns>", "</returns>");

    /// <summary>Returns the shape of a parameter: from its documentation, that of the module's Call, or the default shapes.</summary>
    public static SymbolicShape? Parameter(SyntaxNode method, string name)
    {
        string opening = $"<param name=\"{name}\">";
        return Section(method, opening, "</param>")
            ?? ((TypeDeclarationSyntax)method.Parent!).Members.OfType<MethodDeclarationSyntax>()
                .Where(m => m.Identifier.Text is "Call" && m.ParameterList.Parameters.Any(p => p.Identifier.Text == name))
                .Select(m => Section(m, opening, "</param>")).FirstOrDefault(f => f is not null)
            ?? (_defaultShapes.TryGetValue(name, out string usual)
                && method is MethodDeclarationSyntax { Identifier.Text: "Forward" or "Alibi" or "Causal" } ? SymbolicShape.Parse(usual)
                : null);
    }

    private static SymbolicShape? Section(SyntaxNode method, string opening, string closing)
    {
        Match match =
            Regex.Match(method.GetLeadingTrivia().ToFullString(), $"{Regex.Escape(opening)}(.*?){closing}", RegexOptions.Singleline);
        return match.Success ? SymbolicShape.Parse(match.Groups[1].Value) : null;
    }
}
