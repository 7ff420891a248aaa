using System.Diagnostics;
using System.Text.RegularExpressions;

namespace Ndif.Repository.Tests;

/// <summary>Runs every program of docs/samples as a reader would, and looks for what its comments say that it prints.</summary>
public sealed partial class SampleTests
{
    public static TheoryData<string> Samples =>
        [.. Directory.EnumerateFiles(RepositoryFolder.PathOf("docs/samples"), "*.cs").Select(f => Path.GetFileName(f)!)
            .Order(StringComparer.Ordinal)];

    [Theory, MemberData(nameof(Samples))]
    public async Task Sample_Runs_AndPrintsWhatItSays(string sample)
    {
        string path = RepositoryFolder.PathOf($"docs/samples/{sample}");
        string[] expected =
            [.. ExpectedOutput().Matches(await File.ReadAllTextAsync(path, TestContext.Current.CancellationToken))
                .Select(m => m.Groups[1].Value.Trim())];
        Assert.NotEmpty(expected);

        using var process =
            Process.Start(
                // --file: a project file in the folder for temporary files is not meant
                new ProcessStartInfo("dotnet", ["run", "-c", "Release", "--file", path]) { RedirectStandardOutput = true,
                    RedirectStandardError = true, WorkingDirectory = Path.GetTempPath() })!;
        Task<string> errors = process.StandardError.ReadToEndAsync(TestContext.Current.CancellationToken);
        string output = await process.StandardOutput.ReadToEndAsync(TestContext.Current.CancellationToken);
        await process.WaitForExitAsync(TestContext.Current.CancellationToken);

        Assert.True(process.ExitCode == 0, $"{sample} ended with {process.ExitCode}:\n{output}\n{await errors}");
        Assert.All(expected, line => Assert.Contains(line, output, StringComparison.Ordinal));
    }

    [Fact]
    public void ReadmesBlocks_AreSamples()
    {
        string[] blocks =
            [.. File.ReadAllText(RepositoryFolder.PathOf("README.md")).Split("```csharp\n")[1..].Select(part => part.Split("```")[0])];
        string[] samples = [File.ReadAllText(RepositoryFolder.PathOf("docs/samples/first-trace.cs"))];
        Assert.Equal(samples, blocks);
    }

    [GeneratedRegex(@"// prints: (.+)")]
    private static partial Regex ExpectedOutput();
}
