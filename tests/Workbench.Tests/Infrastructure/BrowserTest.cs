using System.Globalization;
using Deque.AxeCore.Commons;
using OpenQA.Selenium;
using OpenQA.Selenium.Chrome;

namespace Ndif.Workbench.Tests.Infrastructure;

/// <summary>A test in a browser of its own. Skipped if Chromium or its driver is not installed.</summary>
public abstract class BrowserTest(WorkbenchService service, ITestOutputHelper output) : IDisposable
{
    private static readonly string? _browser = ProgramPath.Find("chromium", "chromium-browser", "google-chrome"),
        _driver = ProgramPath.Find("chromedriver");

    private static readonly TimeSpan _patience = TimeSpan.FromMinutes(1);

    private ChromeDriver? _page;

    protected WorkbenchService Service { get; } = service;

    protected ITestOutputHelper Output { get; } = output;

    protected static CancellationToken Cancel => TestContext.Current.CancellationToken;

    protected ChromeDriver Page => _page ??= StartBrowser();

    /// <summary>Opens a page of the workbench whose process has the key, and waits until it is connected.</summary>
    protected async Task OpenAsync(string page, Uri? workbench = null)
    {
        Page.Navigate().GoToUrl(new Uri(workbench ?? Service.WithKey, page));
        await WaitForTextAsync("#gateway", text => text.Length > 0 && text != "Connecting…");
        if (workbench is null) await WaitForAsync("document.getElementById('model')?.value", model => model.Length > 0);
    }

    protected Task<string> WaitForTextAsync(string selector, Func<string, bool> condition) =>
        Poll.UntilAsync(() => Task.FromResult(Text(selector)), condition, _patience, Service.Report);

    protected Task<string> WaitForTextAsync(string selector, string part) =>
        WaitForTextAsync(selector, text => text.Contains(part, StringComparison.Ordinal));

    /// <summary>Waits until a JavaScript expression has a value.</summary>
    protected Task<string> WaitForAsync(string expression, Func<string, bool> condition) =>
        Poll.UntilAsync(() => Task.FromResult(Evaluate(expression)), condition, _patience, Service.Report);

    /// <summary>The text of the first element; empty if there is none.</summary>
    protected string Text(string selector) => Evaluate($"document.querySelector({Quote(selector)})?.textContent");

    protected string Evaluate(string expression) =>
        Convert.ToString(Page.ExecuteScript($"return {expression}"), CultureInfo.InvariantCulture) ?? "";

    protected void Click(string selector) => Page.FindElement(By.CssSelector(selector)).Click();

    /// <summary>Replaces the text of a field, as a user does, and leaves it.</summary>
    protected void Type(string selector, string text)
    {
        IWebElement field = Page.FindElement(By.CssSelector(selector));
        field.SendKeys(Keys.Control + "a");
        field.SendKeys(text.Length > 0 ? text.Replace("\n", Keys.Shift + Keys.Enter + Keys.Shift, StringComparison.Ordinal) : Keys.Delete);
        Page.ExecuteScript("document.activeElement.blur()");
    }

    /// <summary>Runs the experiment of the page, and waits until it has completed.</summary>
    protected async Task RunAsync()
    {
        // an earlier run has left its own state
        Page.ExecuteScript("""
            window.begun = false;
            new MutationObserver(() => window.begun ||= document.querySelector('#run').disabled)
              .observe(document.querySelector('#run'), { attributes: true });
            """);
        Click("#run");
        await WaitForAsync("window.begun && !document.querySelector('#run').disabled", ended => ended == "True");
        Assert.True(Text("#status").StartsWith("Completed", StringComparison.Ordinal), $"{Text("#status")} {Text(".problem")}");
    }

    /// <summary>Sets the size of the page, and whether its colors are dark.</summary>
    protected void SetScreen(int width, bool dark)
    {
        Page.ExecuteCdpCommand("Emulation.setDeviceMetricsOverride",
            new() { ["width"] = width, ["height"] = 900, ["deviceScaleFactor"] = 1, ["mobile"] = false });
        Page.ExecuteCdpCommand("Emulation.setEmulatedMedia", new()
        {
            ["features"] = new object[]
            {
                new Dictionary<string, object> { ["name"] = "prefers-color-scheme", ["value"] = dark ? "dark" : "light" },
            },
        });
    }

    /// <summary>The violations that axe-core finds, one a line: the rule, and the elements.</summary>
    protected string FindAccessibilityViolations()
    {
        Page.ExecuteScript(new BundledAxeScriptProvider().GetScript());
        return Convert.ToString(Page.ExecuteAsyncScript("""
            const done = arguments[arguments.length - 1];
            axe.run(document, { resultTypes: ["violations"] }).then(
              result => done(result.violations.map(v => v.id + ": " + v.help + "\n  "
                + v.nodes.map(n => n.target + " " + n.html.slice(0, 120) + " " + n.failureSummary).join("\n  ")).join("\n")),
              error => done("axe failed: " + error));
            """), CultureInfo.InvariantCulture) ?? "";
    }

    /// <summary>Writes a picture of the page into the folder that NDIF_SCREENSHOTS names, for people to look at.</summary>
    protected void SaveScreenshot(string name)
    {
        if (Environment.GetEnvironmentVariable("NDIF_SCREENSHOTS") is not { Length: > 0 } folder) return;
        var whole = (Dictionary<string, object>)Page.ExecuteCdpCommand(
            "Page.captureScreenshot", new() { ["captureBeyondViewport"] = true })!;
        File.WriteAllBytes(Path.Combine(folder, $"{name}.png"), Convert.FromBase64String((string)whole["data"]));
    }

    /// <summary>The errors that the browser has written, such as scripts that the content security policy refused.</summary>
    protected IEnumerable<string> BrowserErrors =>
        Page.Manage().Logs.GetLog(LogType.Browser).Where(line => line.Level == LogLevel.Severe).Select(line => line.Message);

    private static string Quote(string text) => System.Text.Json.JsonSerializer.Serialize(text);

    private static ChromeDriver StartBrowser()
    {
        Assert.SkipWhen(_browser is null || _driver is null, "There is no chromium with its driver on the path.");
        var options = new ChromeOptions { BinaryLocation = _browser };
        options.AddArguments("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--window-size=1200,900");
        var driver = new ChromeDriver(ChromeDriverService.CreateDefaultService(Path.GetDirectoryName(_driver), Path.GetFileName(_driver)),
            options, ChildProcess.WaitTimeout);
        driver.Manage().Timeouts().AsynchronousJavaScript = ChildProcess.WaitTimeout;
        return driver;
    }

    public void Dispose()
    {
        if (TestContext.Current.TestState?.Result is TestResult.Failed)
            Output.WriteLine($"{Evaluate("document.body.innerText")}\n{Service.Report()}");
        _page?.Dispose();
        GC.SuppressFinalize(this);
    }
}
