using System.Text.RegularExpressions;

namespace Ndif.Repository.Tests;

/// <summary>A C# file of the repository.</summary>
/// <param name="Path">From the root of the repository, with slashes.</param>
internal sealed partial record SourceFile(string Path, string Text)
{
    /// <summary>The folders with code that is written by hand.</summary>
    private static readonly string[] _roots = ["build", "deploy", "docs", "src", "tests"];

    public static IReadOnlyList<SourceFile> All { get; } =
        [.. _roots.SelectMany(root => RepositoryFolder.Files(root, "*.cs")).Select(file =>
            new SourceFile(System.IO.Path.GetRelativePath(RepositoryFolder.Root, file).Replace('\\', '/'), File.ReadAllText(file)))];

    public static IEnumerable<SourceFile> Under(string folder) =>
        All.Where(file => file.Path.StartsWith(folder + "/", StringComparison.Ordinal));

    /// <summary>The file-scoped namespace; null if the file declares none, as a file of top-level statements or attributes.</summary>
    public string? Namespace => NamespaceDeclaration().Match(Text) is { Success: true } match ? match.Groups[1].Value : null;

    /// <summary>The types that are declared directly in the namespace.</summary>
    public IEnumerable<string> TypeNames => TypeDeclaration().Matches(Text).Select(match => match.Groups[1].Value);

    [GeneratedRegex(@"^namespace ([\w.]+);", RegexOptions.Multiline)]
    private static partial Regex NamespaceDeclaration();

    /// <summary>Matches types that are not nested. They begin at the start of a line, because namespaces are file-scoped.</summary>
    [GeneratedRegex(
        @"^(?:(?:public|internal|file|static|sealed|abstract|partial|readonly|ref|unsafe) )*(?:class|struct|interface|enum|record(?: class| struct)?|delegate [^(=]+?) (\w+)(?=\W)", RegexOptions.Multiline)]
    private static partial Regex TypeDeclaration();
}
