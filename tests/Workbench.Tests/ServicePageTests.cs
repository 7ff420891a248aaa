using OpenQA.Selenium;

namespace Ndif.Workbench.Tests;

public sealed class ServicePageTests(WorkbenchService service, ITestOutputHelper output) : BrowserTest(service, output)
{
    [Fact]
    public async Task ThePage_ShowsModelsAndWorkers()
    {
        await OpenAsync("service");
        await WaitForTextAsync("#models-table", WorkbenchService.Model);
        await WaitForTextAsync("#workers-table", WorkbenchService.Model);
        await WaitForTextAsync("#operations-title", "Operations");
        SaveScreenshot("service");
    }

    [Fact]
    public async Task AnAdministrator_CreatesAndRevokesAKey()
    {
        await OpenAsync("service");
        await WaitForTextAsync("#keys", "first");
        Type("#key-name", "from the page");
        Click("#create-key");
        string secret = await WaitForTextAsync("#secret", "ndif_");
        await WaitForTextAsync("#keys", "from the page");
        Assert.NotEmpty((await Status.GetAsync(Backend.At(Service.Gateway, secret), Cancel)).Models);
        Page.FindElement(By.XPath("//table[@id='keys']//tr[contains(., 'from the page')]//button")).Click();
        await WaitForTextAsync("#keys", text => !text.Contains("from the page", StringComparison.Ordinal));
        await Assert.ThrowsAsync<AccessException>(() => Status.GetAsync(Backend.At(Service.Gateway, secret), Cancel));
    }

    [Fact]
    public async Task AModelThatDoesNotExist_CannotBeDeployed()
    {
        await OpenAsync("service");
        await WaitForTextAsync("#operations-title", "Operations");
        await WaitForAsync("document.getElementById('deploy') !== null", found => found == "True");
        Click("#deploy");
        await WaitForTextAsync(".problem", "No model is named.");
    }
}
