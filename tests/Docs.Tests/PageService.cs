using System.Diagnostics;
using System.Text.RegularExpressions;

namespace Ndif.Docs.Tests;

/// <summary>
/// The service of a page: <c>ndif up</c> with the page's arguments, in a separate process with free ports and a separate data folder. Its
/// address and key become the defaults of this process, as if the variables that it prints were set.
/// </summary>
internal sealed partial class PageService : IDisposable
{
    private readonly Process _process;
    private readonly string _data;

    private PageService(Process process, string data) => (_process, _data) = (process, data);

    public static async Task<PageService> StartAsync(IEnumerable<string> arguments, CancellationToken cancellationToken)
    {
        string data = Directory.CreateTempSubdirectory("ndif-docs-").FullName;
        string tool = Path.Combine(AppContext.BaseDirectory, "ndif.dll");
        string[] all = [tool, "up", .. arguments, "--port", "0", "--http-port", "0", "--data", data];
        Process process = Process.Start(new ProcessStartInfo("dotnet", all) { RedirectStandardOutput = true })!;
        var service = new PageService(process, data);
        string? host = null, key = null, openAi = null;
        while (key is null && await process.StandardOutput.ReadLineAsync(cancellationToken) is { } line)
        {
            if (Variable().Match(line) is not { Success: true } match) continue;
            if (match.Groups[1].Value == "NDIF_HOST") host = match.Groups[2].Value;
            else if (match.Groups[1].Value == "OPENAI_BASE_URL") openAi = match.Groups[2].Value;
            else key = match.Groups[2].Value;
        }
        Assert.True(host is not null && key is not null, $"`ndif up {string.Join(' ', arguments)}` did not start.");
        _ = process.StandardOutput.ReadToEndAsync(CancellationToken.None); // a full pipe would stop the service at its next log line
        NdifConfig.SetDefaultHost(host!);
        NdifConfig.SetDefaultApiKey(key!);
        Environment.SetEnvironmentVariable("OPENAI_BASE_URL", openAi);
        Environment.SetEnvironmentVariable("OPENAI_API_KEY", key);
        return service;
    }

    public void Dispose()
    {
        _process.Kill(entireProcessTree: true);
        _process.WaitForExit();
        _process.Dispose();
        Directory.Delete(_data, recursive: true);
    }

    [GeneratedRegex(@"export (NDIF_HOST|OPENAI_BASE_URL|NDIF_API_KEY)=(\S+)")]
    private static partial Regex Variable();
}
