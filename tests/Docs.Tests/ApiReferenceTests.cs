using System.Diagnostics;
using System.Text.RegularExpressions;

namespace Ndif.Docs.Tests;

/// <summary>The API reference is generated from the comments of the packages without a warning, and none of its links is dead.</summary>
public sealed partial class ApiReferenceTests
{
    [Fact]
    public async Task ApiReference_IsGenerated_WithoutDeadLinks()
    {
        string site = RepositoryFolder.PathOf("site/docs/reference/api");
        await RunAsync("tool", "restore");
        string output = await RunAsync("docfx");

        // TorchSharp names SkiaSharp, which the build leaves out (Directory.Packages.props)
        string[] warnings = [.. output.Split('\n').Where(line => line.Contains("warning", StringComparison.Ordinal)
            && !line.Contains("InvalidAssemblyReference", StringComparison.Ordinal) && Warning().IsMatch(line))];
        Assert.True(warnings.Length == 0, string.Join('\n', warnings));
        string[] pages = [.. Directory.EnumerateFiles(site, "*.html").Select(page => Path.GetFileName(page))];
        string[] ofEachPackage = ["Ndif.LanguageModel", "Ndif.TensorData", "Ndif.Tokenizers.HuggingFaceTokenizer", "Ndif.NNsight"];
        Assert.All(ofEachPackage, type => Assert.Contains($"{type}.html", pages));
        string[] dead =
        [
            .. from page in pages
               from Match link in Link().Matches(File.ReadAllText(Path.Combine(site, page)))
               let target = Uri.UnescapeDataString(link.Groups["target"].Value)
               where !File.Exists(Path.Combine(site, target))
               select $"{page}: {target}",
        ];
        Assert.True(dead.Length == 0, string.Join('\n', dead.Take(20)));
    }

    private static async Task<string> RunAsync(params string[] arguments)
    {
        var start = new ProcessStartInfo("dotnet", arguments)
        {
            WorkingDirectory = RepositoryFolder.Root, RedirectStandardOutput = true, RedirectStandardError = true,
        };
        using Process process = Process.Start(start)!;
        Task<string> output = process.StandardOutput.ReadToEndAsync(TestContext.Current.CancellationToken),
            errors = process.StandardError.ReadToEndAsync(TestContext.Current.CancellationToken);
        await process.WaitForExitAsync(TestContext.Current.CancellationToken);
        Assert.True(process.ExitCode == 0, $"{await output}\n{await errors}");
        return await output;
    }

    /// <summary>The name of a warning; the summary at the end has none.</summary>
    [GeneratedRegex(@"\bwarning:? \w")]
    private static partial Regex Warning();

    /// <summary>A link to another page of the site; links to elsewhere begin with a scheme.</summary>
    [GeneratedRegex("href=\"(?<target>[^\":#?]+)[#?\"]")]
    private static partial Regex Link();
}
