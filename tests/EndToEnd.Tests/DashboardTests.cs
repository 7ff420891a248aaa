using System.Globalization;
using OpenQA.Selenium;
using OpenQA.Selenium.Chrome;

namespace Ndif.EndToEnd.Tests;

/// <summary>The dashboard in a real browser. Skipped if Chromium or its driver is not installed.</summary>
public sealed class DashboardTests(TestCluster cluster, ITestOutputHelper output) : ClusterTestBase(cluster, output)
{
    private static readonly string? _browser = ProgramPath.Find("chromium", "chromium-browser", "google-chrome"),
        _driver = ProgramPath.Find("chromedriver");

    [Fact]
    public async Task ThePage_ShowsModelsWorkersAndJobs_AndGoesOnByItself()
    {
        using ChromeDriver page = OpenPage();
        string[] workers = [.. Cluster.Workers.Keys];
        await WaitForTextAsync(page, "workers", text => workers.All(worker => text.Contains(worker, StringComparison.Ordinal)));
        string models = await WaitForTextAsync(page, "models", text => text.Contains(Experiments.Model, StringComparison.Ordinal));
        Assert.Contains("Hot", models, StringComparison.Ordinal);
        Assert.False(page.FindElement(By.Id("no-models")).Displayed);
        Assert.False(page.FindElement(By.Id("no-workers")).Displayed);

        long before = long.Parse(page.FindElement(By.Id("completed")).Text, NumberStyles.AllowThousands, CultureInfo.InvariantCulture);
        await RunRemotelyAsync("prompt:1");
        await WaitForTextAsync(page, "completed", text => long.Parse(text, NumberStyles.AllowThousands, CultureInfo.InvariantCulture)
            > before);
        Assert.Empty(page.Manage().Logs.GetLog(LogType.Browser).Where(line => line.Level == LogLevel.Severe).Select(line => line.Message));
    }

    [Fact]
    public async Task ThePage_SaysThatItsNumbersAreOld_WhileTheGatewayIsAway()
    {
        using ChromeDriver page = OpenPage();
        await WaitForTextAsync(page, "live", text => text.StartsWith("Live", StringComparison.Ordinal));
        Cluster.Gateway.Kill();
        await Cluster.Gateway.WaitForExitAsync();
        await WaitForTextAsync(page, "live", text => text == "Not reachable; the numbers are old");
        Assert.Contains("stale", page.FindElement(By.Id("live")).GetDomAttribute("class"), StringComparison.Ordinal);
        Assert.Contains(Experiments.Model, page.FindElement(By.Id("models")).Text, StringComparison.Ordinal);
        await Cluster.EnsureRunningAsync();
        await WaitForTextAsync(page, "live", text => text.StartsWith("Live", StringComparison.Ordinal));
    }

    private static Task<string> WaitForTextAsync(ChromeDriver page, string id, Func<string, bool> condition) =>
        Poll.UntilAsync(() => Task.FromResult(page.FindElement(By.Id(id)).Text), condition);

    private ChromeDriver OpenPage()
    {
        Assert.SkipWhen(_browser is null || _driver is null, "There is no chromium with its driver on the path.");
        var options = new ChromeOptions { BinaryLocation = _browser };
        options.AddArguments("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage");
        var page =
            new ChromeDriver(ChromeDriverService.CreateDefaultService(Path.GetDirectoryName(_driver), Path.GetFileName(_driver)), options,
                ChildProcess.WaitTimeout);
        page.Navigate().GoToUrl(Cluster.Http);
        return page;
    }
}
