using System;
using System.Linq;
using System.Runtime.CompilerServices;
using System.Text;
using System.Threading;
using Microsoft.CodeAnalysis;
using Microsoft.CodeAnalysis.CSharp;
using Microsoft.CodeAnalysis.CSharp.Syntax;

namespace Ndif.Models.Generator;

/// <summary>
/// A compilation that equals another if the generator would write the same for both. The generator reads the bodies of partial classes
/// (modules, and the functions that their forwards reach) and only the declarations of everything else, so an edit inside a
/// method elsewhere gives an equal compilation, and the driver keeps the earlier output.
/// </summary>
internal sealed class ModuleCompilation(Compilation compilation, string fingerprint) : IEquatable<ModuleCompilation>
{
    /// <summary>A tree is not parsed again when another file changes, so its digest is computed once.</summary>
    private static readonly ConditionalWeakTable<SyntaxTree, string> _digests = new();

    public Compilation Compilation { get; } = compilation;

    private string Fingerprint { get; } = fingerprint;

    public static ModuleCompilation Create(Compilation compilation, CancellationToken cancellation)
    {
        var text = new StringBuilder();
        foreach (MetadataReference reference in compilation.References) text.AppendLine(DigestOf(reference));
        foreach (SyntaxTree tree in compilation.SyntaxTrees)
        {
            cancellation.ThrowIfCancellationRequested();
            text.Append(tree.FilePath).Append(' ').AppendLine(_digests.GetValue(tree, DigestOf));
        }
        return new ModuleCompilation(compilation, text.ToString());
    }

    public bool Equals(ModuleCompilation? other) => other is not null && Fingerprint == other.Fingerprint;

    public override bool Equals(object? other) => Equals(other as ModuleCompilation);

    public override int GetHashCode() => Fingerprint.GetHashCode();

    private static string DigestOf(MetadataReference reference) =>
        reference is PortableExecutableReference file && file.GetMetadata() is AssemblyMetadata assembly
        ? $"{reference.Display} {assembly.GetModules()[0].GetModuleVersionId()}"
        : $"{reference.Display}";

    /// <summary>The checksum of the text where there are partial classes; otherwise the declarations without bodies.</summary>
    private static string DigestOf(SyntaxTree tree)
    {
        SyntaxNode root = tree.GetRoot();
        if (root.DescendantNodes(node => node is not BaseMethodDeclarationSyntax).OfType<TypeDeclarationSyntax>()
            .Any(type => type.Modifiers.Any(SyntaxKind.PartialKeyword)))
            return BitConverter.ToString([.. tree.GetText().GetChecksum()]);
        var declarations = new StringBuilder();
        foreach (SyntaxToken token in root.DescendantTokens(node => node is not (BlockSyntax or ArrowExpressionClauseSyntax)))
            declarations.Append(token.Text).Append(' ');
        return declarations.ToString();
    }
}
