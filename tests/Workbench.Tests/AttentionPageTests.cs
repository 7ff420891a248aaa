namespace Ndif.Workbench.Tests;

public sealed class AttentionPageTests(WorkbenchService service, ITestOutputHelper output) : BrowserTest(service, output)
{
    [Fact]
    public async Task Attention_ShowsTheChosenHead()
    {
        await OpenAsync("attention");
        Type("#layer", "2");
        await RunAsync();
        await WaitForTextAsync("figcaption", "layer 2, head 0");
        Click("#head-1");
        await WaitForTextAsync("figcaption", "layer 2, head 1");
        // of the first token all attention is on itself; no token attends to a later one
        Assert.Equal("h20", Evaluate("document.querySelector('table.heat tbody tr:first-child td').className"));
        Assert.Equal("h0", Evaluate("document.querySelector('table.heat tbody tr:first-child td:last-child').className"));
        SaveScreenshot("attention");
    }

    [Fact]
    public async Task ALayerThatDoesNotExist_IsExplained()
    {
        await OpenAsync("attention");
        Type("#layer", "9");
        Click("#run");
        await WaitForTextAsync(".problem", "There is no layer 9.");
    }
}
