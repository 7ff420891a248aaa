using System.Text.RegularExpressions;

namespace Ndif.Deploy.Tests.Support;

/// <summary>
/// kubectl, which renders the overlays. Tests are skipped without it, and with one that knows no components (before 1.21).
/// </summary>
internal static partial class Kubectl
{
    private static readonly Lazy<Task<Version?>> _version = new(ReadVersionAsync);

    /// <summary>Renders a folder with a kustomization.</summary>
    public static async Task<string> RenderAsync(string folder)
    {
        Version? version = await _version.Value;
        Assert.SkipWhen(version is null, "There is no kubectl on the path.");
        Assert.SkipWhen(version < new Version(1, 21), $"kubectl {version} is too old for components: 1.21 is the first that knows them.");
        await using ChildProcess kubectl = ChildProcess.Start("kubectl", "kubectl", ["kustomize", folder]);
        int code = await kubectl.WaitForExitAsync();
        Assert.True(code == 0 && kubectl.Errors.Length == 0, kubectl.FormatOutput()); // a warning, as for a deprecated field, fails too
        return string.Join('\n', kubectl.Lines);
    }

    private static async Task<Version?> ReadVersionAsync()
    {
        if (ProgramPath.Find("kubectl") is null) return null;
        await using ChildProcess kubectl = ChildProcess.Start("kubectl", "kubectl", ["version", "--client", "--output=json"]);
        await kubectl.WaitForExitAsync();
        Match version = GitVersion().Match(string.Join('\n', kubectl.Lines));
        return version.Success ? new Version(version.Groups[1].Value) : null;
    }

    [GeneratedRegex(@"""gitVersion"": ""v(\d+\.\d+)")]
    private static partial Regex GitVersion();
}
