namespace Ndif.Workbench.Tests;

/// <summary>What can go wrong is said on the page, and the page goes on.</summary>
public sealed class FailureTests(WorkbenchService service, ITestOutputHelper output) : BrowserTest(service, output)
{
    [Fact]
    public async Task AnUnknownModel_IsExplained()
    {
        await OpenAsync("");
        Type("#model", "nobody/nothing");
        Click("#run");
        await WaitForTextAsync(".problem", "The service does not know this model");
        Type("#model", WorkbenchService.Model);
        await RunAsync();
        Assert.Equal("", Text(".problem"));
    }

    [Fact]
    public async Task AnEmptyPrompt_IsExplained()
    {
        await OpenAsync("");
        Type("#prompt", "");
        Click("#run");
        await WaitForTextAsync(".problem", "The prompt is empty.");
    }

    [Fact]
    public async Task ALongPrompt_IsRefusedBeforeItRuns()
    {
        await OpenAsync("");
        // longer than Blazor's usual limit of 32 KB for a message
        Page.ExecuteScript("const p = document.querySelector('#prompt'); p.value = 'the city of '.repeat(5000); p.dispatchEvent(new Event('change', { bubbles: true }))");
        Click("#run");
        await WaitForTextAsync(".problem", "the page draws at most 256");
        Type("#prompt", "The Eiffel Tower is in");
        await RunAsync();
    }

    [Fact]
    public async Task APromptWithHtml_IsText()
    {
        await OpenAsync("");
        Type("#prompt", "<img src=x onerror=alert(1)> & <b>Paris");
        await RunAsync();
        Assert.Equal("0", Evaluate("document.querySelectorAll('main img, main b').length"));
        Assert.Contains("<img src=x onerror=alert(1)> & <b>Paris", Text("#program"), StringComparison.Ordinal);
        Assert.Empty(BrowserErrors);
    }

    [Fact]
    public async Task ALostGateway_IsShown_AndThePageGoesOnWhenItIsBack()
    {
        await OpenAsync("");
        await Service.StopGatewayAsync();
        await WaitForTextAsync("#gateway", "Not reachable");
        Click("#run");
        await WaitForTextAsync(".problem", "The gateway cannot be reached");
        SaveScreenshot("lost");
        await Service.StartGatewayAsync();
        await WaitForTextAsync("#gateway", "Connected");
        await RunAsync();
        Assert.Equal("Paris", Text("table.heat tbody tr:last-child td:last-child"));
    }

    [Fact]
    public async Task ARun_CanBeCancelled()
    {
        await OpenAsync("steering");
        Type("#tokens", "500");
        Type("#prompt", "The");
        Click("#run");
        Click("#cancel");
        await WaitForTextAsync("#status", text => text is "Cancelled." || text.StartsWith("Completed", StringComparison.Ordinal));
        Assert.Equal("", Text(".problem"));
        await WaitForAsync("document.getElementById('run').disabled", disabled => disabled == "False");
    }
}
