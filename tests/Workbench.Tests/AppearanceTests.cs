namespace Ndif.Workbench.Tests;

/// <summary>Every page fits narrow and wide screens, and has no violation of accessibility that axe-core finds.</summary>
public sealed class AppearanceTests(WorkbenchService service, ITestOutputHelper output) : BrowserTest(service, output)
{
    [Theory]
    [InlineData("")]
    [InlineData("attention")]
    [InlineData("patching")]
    [InlineData("steering")]
    [InlineData("jobs")]
    [InlineData("service")]
    public async Task APage_FitsAndIsAccessible(string page)
    {
        await OpenAsync(page);
        if (Evaluate("document.getElementById('run') !== null") == "True") await RunAsync();
        else await WaitForAsync("document.querySelector('table.rows, #no-jobs') !== null", found => found == "True");
        if (page == "service") await WaitForTextAsync("#keys", "first");
        if (page == "jobs" && Evaluate("document.querySelector('#jobs button') !== null") == "True")
        {
            Click("#jobs button");
            await WaitForTextAsync("#log", "completed");
        }
        Page.ExecuteScript("document.querySelectorAll('details').forEach(d => d.open = true)");
        List<string> wrong = [];
        foreach ((int width, bool dark) in new[] { (1200, false), (1200, true), (400, false), (400, true) })
        {
            SetScreen(width, dark);
            string name = $"{(page.Length == 0 ? "lens" : page)}-{width}-{(dark ? "dark" : "light")}";
            SaveScreenshot(name);
            // a vertical scrollbar takes a part of the width in some browsers
            string over = Evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth");
            if (over != "0") wrong.Add($"{name} is {over} pixels too wide");
            if (FindAccessibilityViolations() is { Length: > 0 } violations) wrong.Add($"{name}: {violations}");
        }
        Assert.True(wrong.Count == 0, string.Join("\n", wrong));
        Assert.Empty(BrowserErrors);

        Page.ExecuteScript("document.querySelector('main').append(document.createElement('img'))"); // the check itself finds what is wrong
        Assert.Contains("image-alt", FindAccessibilityViolations(), StringComparison.Ordinal);
    }

    /// <summary>The status page of the gateway has no part that is wider than the screen, not even inside of one that scrolls.</summary>
    [Theory]
    [InlineData(1200)]
    [InlineData(400)]
    public async Task TheStatusPage_FitsTheScreen(int width)
    {
        SetScreen(width, dark: false);
        Page.Navigate().GoToUrl(Service.Dashboard);
        await WaitForTextAsync("#workers", WorkbenchService.Model);
        SaveScreenshot($"status-{width}");
        string wide = Evaluate("""
            [...document.querySelectorAll('body *:not(thead, thead *)')]
              .filter(e => e.scrollWidth > innerWidth || e.getBoundingClientRect().right > innerWidth)
              .map(e => e.tagName + '#' + e.id).join(' ')
            """);
        Assert.Equal("", wide);
        Assert.Equal("", FindAccessibilityViolations());
    }
}
