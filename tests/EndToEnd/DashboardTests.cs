using System.Globalization;
using OpenQA.Selenium;
using OpenQA.Selenium.Chrome;

namespace Ndif.EndToEnd;

/// <summary>The page that people look at, in the browser that they look with.</summary>
public sealed class DashboardTests(Cluster cluster, ITestOutputHelper output) : ClusterTests(cluster, output)
{
    private const string Browser = "/usr/bin/chromium", Driver = "/usr/bin/chromedriver";

    [Fact]
    public async Task ThePage_ShowsModelsWorkersAndJobs_AndGoesOnByItself()
    {
        using ChromeDriver page = Open();
        string[] workers = [.. Cluster.Workers.Keys];
        await ShownAsync(page, "workers", text => workers.All(worker => text.Contains(worker, StringComparison.Ordinal)));
        string models = await ShownAsync(page, "models", text => text.Contains(Experiments.Model, StringComparison.Ordinal));
        Assert.Contains("Hot", models, StringComparison.Ordinal);
        Assert.False(page.FindElement(By.Id("no-models")).Displayed);
        Assert.False(page.FindElement(By.Id("no-workers")).Displayed);

        long before = long.Parse(page.FindElement(By.Id("completed")).Text, NumberStyles.AllowThousands, CultureInfo.InvariantCulture);
        await ThereAsync("prompt:1");
        await ShownAsync(page, "completed", text => long.Parse(text, NumberStyles.AllowThousands, CultureInfo.InvariantCulture) > before);
        Assert.Empty(page.Manage().Logs.GetLog(LogType.Browser).Where(line => line.Level == LogLevel.Severe).Select(line => line.Message));
    }

    [Fact]
    public async Task ThePage_SaysThatItsNumbersAreOld_WhileTheGatewayIsAway()
    {
        using ChromeDriver page = Open();
        await ShownAsync(page, "live", text => text.StartsWith("Live", StringComparison.Ordinal));
        Cluster.Gateway.Kill();
        await Cluster.Gateway.EndAsync();
        await ShownAsync(page, "live", text => text == "Not reachable; the numbers are old");
        Assert.Contains("stale", page.FindElement(By.Id("live")).GetDomAttribute("class"), StringComparison.Ordinal);
        Assert.Contains(Experiments.Model, page.FindElement(By.Id("models")).Text, StringComparison.Ordinal);
        await Cluster.ReadyAsync();
        await ShownAsync(page, "live", text => text.StartsWith("Live", StringComparison.Ordinal));
    }

    private static Task<string> ShownAsync(ChromeDriver page, string id, Func<string, bool> isSo) =>
        Poll.UntilAsync(() => Task.FromResult(page.FindElement(By.Id(id)).Text), isSo);

    private ChromeDriver Open()
    {
        Assert.SkipUnless(File.Exists(Browser) && File.Exists(Driver), $"{Browser} and {Driver} are not installed.");
        var options = new ChromeOptions { BinaryLocation = Browser };
        options.AddArguments("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage");
        var page = new ChromeDriver(ChromeDriverService.CreateDefaultService(Path.GetDirectoryName(Driver), Path.GetFileName(Driver)), options, Child.Patience);
        page.Navigate().GoToUrl(Cluster.Http);
        return page;
    }
}
