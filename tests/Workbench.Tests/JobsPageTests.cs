using OpenQA.Selenium;

namespace Ndif.Workbench.Tests;

public sealed class JobsPageTests(WorkbenchService service, ITestOutputHelper output) : BrowserTest(service, output)
{
    [Fact]
    public async Task AJob_IsListed_WithItsPhasesLogAndResults()
    {
        var llm = new LanguageModel(WorkbenchService.Model, remote: Service.Remote);
        string id;
        using (var trace = llm.Trace("The Eiffel Tower is in the city of"))
        {
            trace.Log("hello from the job");
            llm.Logits[0, ^1].TopK(3).Save("top");
            Job job = await trace.SubmitAsync(Cancel);
            await job.WaitAsync(Cancel);
            id = job.Id;
        }
        await OpenAsync("jobs");
        await WaitForTextAsync("#jobs", id[^12..]);
        Page.FindElement(By.XPath($"//table[@id='jobs']//button[contains(., '{id[^12..]}')]")).Click();
        await WaitForTextAsync("#log", "log: hello from the job");
        await WaitForTextAsync("#job-state", "completed");
        await WaitForTextAsync(".phases", "run ");
        await WaitForTextAsync("#results", "top");
        SaveScreenshot("jobs");
        Click("#delete-job");
        await WaitForTextAsync("#jobs", text => !text.Contains(id[^12..], StringComparison.Ordinal));
    }

    [Fact]
    public async Task AWaitingJob_ShowsWhy_AndCanBeCancelled()
    {
        string id = await SubmitJobThatWaitsAsync();
        await OpenAsync("jobs");
        await WaitForTextAsync("#jobs", id[^12..]);
        Page.FindElement(By.XPath($"//table[@id='jobs']//button[contains(., '{id[^12..]}')]")).Click();
        await WaitForTextAsync("#job-state", "running");
        Click("#cancel-job");
        await WaitForTextAsync("#job-state", "cancelled");
    }

    /// <summary>A job that runs until it is cancelled: a long generation.</summary>
    private async Task<string> SubmitJobThatWaitsAsync()
    {
        var llm = new LanguageModel(WorkbenchService.Model, remote: Service.Remote);
        using var session = llm.Session();
        for (int i = 0; i < 200; i++)
        {
            using var t = llm.Generate("The Eiffel Tower is in", 100, new() { IgnoreEos = true });
            t.Result.Save();
        }
        return (await session.SubmitAsync(Cancel)).Id;
    }
}
