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
        Page.ExecuteScript("""
            const prompt = document.querySelector('#prompt');
            prompt.value = 'the city of '.repeat(5000);
            prompt.dispatchEvent(new Event('change', { bubbles: true }));
            """);
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
    public async Task ALimitOfTheKey_IsShown_WhileTheRunWaits()
    {
        await OpenAsync("", Service.WithoutKey);
        await WaitForTextAsync(".problem", "This service needs a key");
        Type("#key", await Service.CreateKeyAsync("slow", "slow"));
        Click("#use-key");
        await WaitForAsync("document.getElementById('model').value", model => model.Length > 0);
        await RunAsync();
        Click("#run");
        await WaitForTextAsync("#warning", "a minute");
        Click("#cancel");
        await WaitForTextAsync("#status", "Cancelled.");
        Click("#forget-key");
    }

    [Fact]
    public async Task AJobWithoutAWorker_SaysWhyItWaits()
    {
        await using var cluster = new ServiceCluster();
        await cluster.StartRedisAsync();
        string key = await cluster.CreateKeyAsync("alone");
        GatewayProcess gateway = await cluster.StartGatewayProcessAsync();
        ChildProcess worker = await cluster.StartWorkerProcessAsync("only", "--lease-seconds", "2");
        await OpenAsync("", await Service.StartWorkbenchAsync(gateway.Grpc, ("NDIF_API_KEY", key)));
        await WaitForAsync("document.getElementById('model').value", model => model == WorkbenchService.Model);
        await RunAsync();
        worker.Kill();
        await Poll.UntilAsync(() => Status.GetAsync(Backend.At(gateway.Grpc.ToString(), key), Cancel), s => s.Workers.Count == 0);
        Click("#run");
        await WaitForTextAsync("#status", "No worker");
        Click("#cancel");
        await WaitForTextAsync("#status", "Cancelled.");
    }
}
