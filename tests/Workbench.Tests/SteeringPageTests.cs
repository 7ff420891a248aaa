namespace Ndif.Workbench.Tests;

public sealed class SteeringPageTests(WorkbenchService service, ITestOutputHelper output) : BrowserTest(service, output)
{
    [Fact]
    public async Task Steering_GeneratesBothTextsSideBySide()
    {
        await OpenAsync("steering");
        await RunAsync();
        Assert.Equal("The Eiffel Tower is in the city of Paris.", Text("#plain"));
        Assert.StartsWith("The Eiffel Tower is in the city of Rome", Text("#steered"), StringComparison.Ordinal);
        SaveScreenshot("steering");
    }

    [Fact]
    public async Task ListsOfDifferentLengths_AreExplained()
    {
        await OpenAsync("steering");
        Type("#away", "The Louvre is in the city of");
        Click("#run");
        await WaitForTextAsync(".problem", "There are 2 prompts on the left and 1 on the right.");
    }
}
