using System.Text.RegularExpressions;

namespace Ndif.Repository.Tests;

/// <summary>The files that the documents name exist, and every error code has a page.</summary>
public sealed partial class DocumentTests
{
    [Theory]
    [InlineData("README.md")]
    [InlineData("docs/ARCHITECTURE.md")]
    [InlineData("docs/checklists/add-an-op.md")]
    [InlineData("docs/checklists/add-a-generation-option.md")]
    [InlineData("docs/checklists/add-a-model.md")]
    [InlineData("docs/checklists/add-a-cli-command.md")]
    [InlineData("docs/checklists/add-a-gateway-option.md")]
    [InlineData("docs/nnsight-tests.md")]
    public void Document_NamesOnlyFilesThatExist(string document)
    {
        string text = File.ReadAllText(RepositoryFolder.PathOf(document));
        string[] named = [.. FilePath().Matches(text).Select(m => m.Value).Distinct()];
        Assert.NotEmpty(named);
        Assert.All(named, path => Assert.True(Path.Exists(RepositoryFolder.PathOf(path)), path));
    }

    [Fact]
    public void EveryErrorCode_HasItsPage()
    {
        string proto = File.ReadAllText(RepositoryFolder.PathOf("src/Protocol/proto/ndif/v1/job.proto"));
        string codes =
            proto[proto.IndexOf("enum ErrorCode", StringComparison.Ordinal)..proto.IndexOf("message Error", StringComparison.Ordinal)];
        string[] names = [.. ErrorCodeLine().Matches(codes).Select(m => m.Groups[1].Value).Where(n => n != "ERROR_CODE_UNSPECIFIED")];
        Assert.NotEmpty(names);
        Assert.All(names, name => Assert.True(File.Exists(RepositoryFolder.PathOf($"docs/errors/{name}.md")), name));
    }

    /// <summary>A path from the root with at least one folder and an extension.</summary>
    [GeneratedRegex(@"(?<=[\s`(\[])(?:src|tests|docs|deploy|build)/[\w./-]+\.\w+")]
    private static partial Regex FilePath();

    [GeneratedRegex(@"^\s+([A-Z_]+) = \d+;", RegexOptions.Multiline)]
    private static partial Regex ErrorCodeLine();
}
