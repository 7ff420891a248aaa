using System.Text.RegularExpressions;

namespace Ndif.Docs.Tests;

/// <summary>The links of the documents have existing targets, and the files that they name exist.</summary>
public sealed partial class LinkTests
{
    /// <summary>Every Markdown file of the repository, by its path from the root.</summary>
    public static TheoryData<string> Documents =>
    [
        .. Directory.EnumerateFiles(RepositoryFolder.Root, "*.md", SearchOption.AllDirectories)
            .Select(f => Path.GetRelativePath(RepositoryFolder.Root, f))
            .Where(f => !f.Split('/').Any(part => part is "bin" or "obj" or ".git"))
            .Order(StringComparer.Ordinal),
    ];

    [Theory, MemberData(nameof(Documents))]
    public void Links_LeadToFilesAndHeadings(string document)
    {
        string folder = Path.GetDirectoryName(RepositoryFolder.PathOf(document))!;
        List<string> broken = [];
        foreach (Match link in Link().Matches(Fence().Replace(Repository.Read(document), "")))
        {
            string[] parts = link.Groups[1].Value.Split('#', 2);
            if (parts[0].Contains("://", StringComparison.Ordinal)) continue;
            string target = parts[0].Length == 0 ? RepositoryFolder.PathOf(document) : Path.GetFullPath(Path.Combine(folder, parts[0]));
            if (!Path.Exists(target) || (parts.Length == 2 && !HasAnchor(target, parts[1]))) broken.Add(link.Value);
        }
        Assert.Empty(broken);
    }

    [Theory, MemberData(nameof(Documents))]
    public void PathsFromTheRoot_Exist(string document)
    {
        string[] named = [.. FilePath().Matches(Repository.Read(document)).Select(m => m.Value).Distinct()];
        Assert.All(named, path => Assert.True(Path.Exists(RepositoryFolder.PathOf(path)), path));
    }

    [Fact]
    public void Readme_FitsTwoScreens() => Assert.InRange(Repository.Read("README.md").Split('\n').Length, 1, 85);

    private static bool HasAnchor(string file, string anchor) =>
        Heading().Matches(File.ReadAllText(file)).Any(h => Anchor(h.Groups[1].Value) == anchor);

    /// <summary>The anchor that GitHub generates for a heading.</summary>
    private static string Anchor(string heading) => NotInAnchor().Replace(heading.Trim().ToLowerInvariant(), "").Replace(' ', '-');

    [GeneratedRegex(@"(?<!`)\[[^\]\n]*\]\(([^)\s]+)\)")]
    private static partial Regex Link();

    [GeneratedRegex(@"^```.*?^```", RegexOptions.Multiline | RegexOptions.Singleline)]
    private static partial Regex Fence();

    [GeneratedRegex(@"^#+ (.+)$", RegexOptions.Multiline)]
    private static partial Regex Heading();

    [GeneratedRegex(@"[^\w\- ]")]
    private static partial Regex NotInAnchor();

    /// <summary>A path from the root with at least one folder and an extension.</summary>
    [GeneratedRegex(@"(?<=[\s`(])(?:src|tests|docs|deploy|build)/[\w./-]+\.\w+")]
    private static partial Regex FilePath();
}
