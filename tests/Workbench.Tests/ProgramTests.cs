namespace Ndif.Workbench.Tests;

/// <summary>The program that a page shows makes its picture: compiled and run apart from the page, it gives the same.</summary>
public sealed class ProgramTests(WorkbenchService service, ITestOutputHelper output) : BrowserTest(service, output)
{
    [Theory]
    [InlineData("", "logit-lens.html")]
    [InlineData("attention", "attention.html")]
    [InlineData("patching", "activation-patching.html")]
    public async Task TheShownProgram_GivesTheNumbersOfThePicture(string page, string file)
    {
        await OpenAsync(page);
        await RunAsync();
        Page.ExecuteScript("window.saved = {}; workbench.download = (name, type, text) => window.saved[name.split('.').pop()] = text");
        await WaitForAsync("document.getElementById('csv') !== null", found => found == "True");
        Click("#csv");
        string numbers = await WaitForAsync("window.saved.csv", text => text.Length > 0);
        Click("#svg");
        string svg = await WaitForAsync("window.saved.svg", text => text.Length > 0);
        Assert.StartsWith("<svg", svg, StringComparison.Ordinal);

        using var folder = new TempFolder();
        string csv = folder.File("figure.csv"), program = Text("#program");
        Assert.Contains($"\"{file}\"", program, StringComparison.Ordinal);
        Run(program.Replace($"\"{file}\"", $"@\"{csv}\"", StringComparison.Ordinal));
        Assert.Equal(numbers, await File.ReadAllTextAsync(csv, Cancel));
    }

    [Fact]
    public async Task TheShownProgram_GeneratesTheTextsOfThePage()
    {
        await OpenAsync("steering");
        Type("#prompt", "The \"Eiffel\" Tower is\tin <the> city of");
        await RunAsync();
        string written = Run(Text("#program"));
        await WaitForTextAsync("main", text => text.Contains("Steered: ", StringComparison.Ordinal));
        Assert.Contains($"as it is: {Text("#plain")}", written, StringComparison.Ordinal);
        Assert.Contains($"steered:  {Text("#steered")}", written, StringComparison.Ordinal);
    }

    private string Run(string program)
    {
        NdifConfig.SetDefaultHost(Service.Gateway);
        NdifConfig.SetDefaultApiKey(Service.Key);
        return ShownProgram.Run(program);
    }
}
