namespace Ndif.Workbench.Tests;

public sealed class PatchingPageTests(WorkbenchService service, ITestOutputHelper output) : BrowserTest(service, output)
{
    [Fact]
    public async Task Patching_ShowsWhereTheAnswerIs()
    {
        await OpenAsync("patching");
        await RunAsync();
        Assert.Equal("4", Evaluate("document.querySelectorAll('table.heat tbody tr').length"));
        Assert.Equal("1.00", Text("table.heat tbody tr:last-child td:last-child"));
        Assert.Equal("0", Evaluate("document.querySelectorAll('td.unknown').length"));
        SaveScreenshot("patching");
    }

    [Theory]
    [InlineData("#clean", "", "The clean prompt is empty.")]
    [InlineData("#corrupted", "Mary gave a drink to", "tokens and the corrupted one 5")]
    [InlineData("#other", " Mary", "Both answers begin with the token “ Mary”.")]
    [InlineData("#answer", "", "An answer is empty.")]
    public async Task AWrongInput_IsExplained(string field, string text, string expected)
    {
        await OpenAsync("patching");
        Type(field, text);
        Click("#run");
        await WaitForTextAsync(".problem", expected);
    }
}
