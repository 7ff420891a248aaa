using System.Text.RegularExpressions;

namespace Ndif.Docs.Tests;

/// <summary>The analyzers of the package report nothing about what the guide and the samples show.</summary>
public sealed partial class AnalyzedProgramTests
{
    public static TheoryData<string> Programs =>
    [
        .. GuideTests.Pages.Select(page => page.Data),
        .. Directory.EnumerateFiles(RepositoryFolder.PathOf("docs/samples"), "*.cs")
            .Select(file => Path.GetRelativePath(RepositoryFolder.Root, file)).Order(StringComparer.Ordinal),
    ];

    [Theory, MemberData(nameof(Programs))]
    public async Task AProgram_HasNoMistake(string file)
    {
        string program = file.EndsWith(".md", StringComparison.Ordinal)
            ? Page.Join(Page.Load(file).Programs) : Directive().Replace(Repository.Read(file), "");
        Assert.Empty(await PageProgram.AnalyzeAsync("Analyzed", program, TestContext.Current.CancellationToken));
    }

    [GeneratedRegex("^#:.*$", RegexOptions.Multiline)]
    private static partial Regex Directive();
}
