namespace Ndif.Workbench.Tests;

/// <summary>Keys are entered on the page, kept by session, and shared by the tabs of a browser.</summary>
public sealed class KeyTests(WorkbenchService service, ITestOutputHelper output) : BrowserTest(service, output)
{
    [Fact]
    public async Task AKey_IsAskedFor_CheckedAndForgotten()
    {
        await OpenAsync("", Service.WithoutKey);
        await WaitForTextAsync(".problem", "This service needs a key");
        Type("#key", "ndif_wrong_key");
        Click("#use-key");
        await WaitForTextAsync(".problem", "The service does not accept this key");
        Type("#key", Service.Key);
        Click("#use-key");
        await WaitForTextAsync("#gateway", "Connected");
        await WaitForAsync("document.getElementById('model').value", model => model == WorkbenchService.Model);
        Assert.DoesNotContain(Service.Key, Page.PageSource, StringComparison.Ordinal);
        Assert.DoesNotContain(Service.Key, Page.Url, StringComparison.Ordinal);

        // a second tab has the key too, and loses it with the first
        string first = Page.CurrentWindowHandle;
        Page.SwitchTo().NewWindow(OpenQA.Selenium.WindowType.Tab);
        await OpenAsync("jobs", Service.WithoutKey);
        await WaitForTextAsync("#gateway", "Connected");
        Click("#forget-key");
        await WaitForTextAsync("#gateway", "No key");
        Page.SwitchTo().Window(first);
        await WaitForTextAsync("#gateway", "No key");
        Assert.DoesNotContain(Service.Key, Service.Report().Split("--- ndif workbench", 2)[1], StringComparison.Ordinal);
    }

    [Fact]
    public async Task AKeyWithoutTheScope_SeesNoOperations()
    {
        string key = await Service.CreateKeyAsync("researcher");
        await OpenAsync("service", Service.WithoutKey);
        await WaitForTextAsync(".problem", "This service needs a key");
        Type("#key", key);
        Click("#use-key");
        await WaitForTextAsync("#no-operator", "This key is not an operator's");
    }

    [Fact]
    public async Task TheWorkbenchOfUp_HasNoKeyOfItsOwn()
    {
        await OpenAsync("", Service.OwnWorkbench);
        await WaitForTextAsync(".problem", "This service needs a key");
    }
}
