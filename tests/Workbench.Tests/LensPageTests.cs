namespace Ndif.Workbench.Tests;

public sealed class LensPageTests(WorkbenchService service, ITestOutputHelper output) : BrowserTest(service, output)
{
    [Fact]
    public async Task ALens_ShowsEveryLayerAndToken_WithDetailsOnFocus()
    {
        await OpenAsync("");
        await RunAsync();
        Assert.Equal("4", Evaluate("document.querySelectorAll('table.heat tbody tr').length"));
        Assert.Equal("Paris", Text("table.heat tbody tr:last-child td:last-child"));
        Page.ExecuteScript("document.querySelector('table.heat td').focus()");
        Page.FindElement(OpenQA.Selenium.By.CssSelector("table.heat td:focus")).SendKeys(OpenQA.Selenium.Keys.End);
        string detail = await WaitForTextAsync("#detail", "Layer 0, after “ of”");
        Assert.Contains("“ Paris” 0.", detail, StringComparison.Ordinal);
        SaveScreenshot("lens");
        Assert.Empty(BrowserErrors);
    }
}
