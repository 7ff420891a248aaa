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

    [Fact]
    public async Task Rows_AppearWhileTheJobRuns()
    {
        await OpenAsync("patching");
        TypeLongPrompts();
        Page.ExecuteScript("""
            window.seen = [];
            new MutationObserver(() => {
              const done = document.querySelector('#layers-done')?.value;
              if (done !== undefined && !window.seen.includes(done)) window.seen.push(done);
            }).observe(document.querySelector('main'), { subtree: true, childList: true, attributes: true });
            """);
        await RunAsync();
        string[] seen = Evaluate("window.seen.join(' ')").Split(' ');
        Assert.Contains(seen, rows => rows is "1" or "2" or "3");
        Assert.Equal("4", seen[^1]);
    }

    [Fact]
    public async Task Cancel_CancelsTheJob_AndThePageGoesOn()
    {
        await OpenAsync("patching");
        TypeLongPrompts();
        Click("#run");
        await WaitForTextAsync("#status", "Running");
        Click("#cancel");
        await WaitForTextAsync("#status", "Cancelled.");
        Assert.Equal("", Text(".problem"));
        await Poll.UntilAsync(async () => (await Job.ListAsync(1, remote: Service.Remote, cancellationToken: Cancel))[0].State,
            state => state is Protocol.JobState.Cancelled);
        Type("#clean", "When Mary and John went to the store, John gave a drink to");
        Type("#corrupted", "When Mary and John went to the store, Mary gave a drink to");
        await RunAsync();
    }

    /// <summary>Prompts for which a layer takes some time.</summary>
    private void TypeLongPrompts()
    {
        string before = string.Concat(Enumerable.Repeat("When Mary and John went to the store, ", 12));
        Type("#clean", $"{before}John gave a drink to");
        Type("#corrupted", $"{before}Mary gave a drink to");
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
