using OpenQA.Selenium;
using OpenQA.Selenium.Chrome;

namespace Ndif.Drawing.Tests;

/// <summary>
/// The page of each figure in a real browser, as wide as a screen and as a phone. Skipped if Chromium or its driver is not installed.
/// </summary>
public sealed class BrowserTests : IDisposable
{
    private static readonly string? _browser = ProgramPath.Find("chromium", "chromium-browser", "google-chrome"),
        _driver = ProgramPath.Find("chromedriver");

    private readonly TempFolder _folder = new();
    private readonly ChromeDriver _page;

    public BrowserTests()
    {
        Assert.SkipWhen(_browser is null || _driver is null, "There is no chromium with its driver on the path.");
        var options = new ChromeOptions { BinaryLocation = _browser };
        options.AddArguments("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars");
        _page =
            new ChromeDriver(ChromeDriverService.CreateDefaultService(Path.GetDirectoryName(_driver), Path.GetFileName(_driver)), options,
                TimeSpan.FromMinutes(3));
    }

    [Fact]
    public void EachPage_LoadsNothing_RunsNothing_HasTooltips_AndFitsTheWindow()
    {
        foreach ((string name, Func<Figure> draw) in Gallery.Figures)
        {
            Figure figure = draw();
            figure.Save(_folder.File($"{name}.html"));
            foreach (int width in new[] { 1200, 400 })
            {
                _page.ExecuteCdpCommand("Emulation.setDeviceMetricsOverride",
                    new() { ["width"] = width, ["height"] = 900, ["deviceScaleFactor"] = 1, ["mobile"] = false });
                _page.Navigate().GoToUrl(new Uri(_folder.File($"{name}.html")));
                Assert.Equal(figure.Title, _page.Title); // the script of a token would have changed it
                Assert.Equal(width, Evaluate("return window.innerWidth"));
                Assert.InRange(Evaluate("return document.documentElement.scrollWidth"), 1, width);
                Assert.Equal(0, Evaluate("return performance.getEntriesByType('resource').length"));
                Assert.Equal(0, Evaluate("return document.querySelectorAll('script').length"));
                Assert.InRange(Evaluate("return document.querySelectorAll('svg title, span[title]').length"), 10, 100_000);
                Assert.Equal(0, Evaluate(OverlappingTexts));
            }
            Assert.DoesNotContain(_page.Manage().Logs.GetLog(LogType.Browser), line => line.Level == LogLevel.Severe);
        }
    }

    [Fact]
    public void TheCellUnderThePointer_HasTheTooltipOfItsValue()
    {
        Plots.HeatMap(Gallery.Grid(4), Gallery.Tokens).Save(_folder.File("x.html"));
        _page.Navigate().GoToUrl(new Uri(_folder.File("x.html")));
        const string UnderTheMiddleOfCell12 = """
            const box = document.querySelectorAll('.cells rect')[12].getBoundingClientRect();
            return document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2).textContent
            """;
        Assert.Equal("layer 1, position 2 ·Eiffel: NaN", _page.ExecuteScript(UnderTheMiddleOfCell12));
    }

    [Theory]
    [InlineData("light", "rgb(255, 255, 255)")]
    [InlineData("dark", "rgb(22, 25, 29)")]
    public void ThePage_FollowsTheSystemsColourScheme(string scheme, string background)
    {
        _page.ExecuteCdpCommand("Emulation.setEmulatedMedia",
            new() { ["features"] = new[] { new { name = "prefers-color-scheme", value = scheme } } });
        Plots.Lines(new[] { 1.0, 2 }).Save(_folder.File("x.html"));
        _page.Navigate().GoToUrl(new Uri(_folder.File("x.html")));
        Assert.Equal(background, _page.ExecuteScript("return getComputedStyle(document.querySelector('figure')).backgroundColor"));
        Assert.Equal(background, _page.ExecuteScript("return getComputedStyle(document.querySelector('.paper')).fill"));
    }

    [Fact]
    public void ALargeFigure_IsShownWithinSeconds()
    {
        Plots.HeatMap(new float[100, 1000]).Save(_folder.File("x.html"));
        _page.Manage().Timeouts().PageLoad = TimeSpan.FromSeconds(60);
        _page.Navigate().GoToUrl(new Uri(_folder.File("x.html")));
        Assert.Equal(100_000, Evaluate("return document.querySelectorAll('.cells rect').length"));
    }

    public void Dispose()
    {
        _page?.Dispose();
        _folder.Dispose();
    }

    /// <summary>How many pairs of neighbouring horizontal texts of a picture overlap.</summary>
    private const string OverlappingTexts = """
        const boxes = [...document.querySelectorAll('svg text:not([transform])')].map(e => e.getBoundingClientRect());
        let count = 0;
        for (let i = 1; i < boxes.length; i++) {
            const a = boxes[i - 1], b = boxes[i];
            if (Math.min(a.right, b.right) - Math.max(a.x, b.x) > 1 && Math.min(a.bottom, b.bottom) - Math.max(a.y, b.y) > 5) count++;
        }
        return count
        """;

    private long Evaluate(string script) => (long)_page.ExecuteScript(script)!;
}
