using Ndif.Protocol;

namespace Ndif.Docs.Tests;

/// <summary>Each page of docs/errors shows a program that fails with the code of the page, and a corrected program.</summary>
public sealed class ErrorPageTests
{
    /// <summary>Codes that no program can cause at will. Their pages say so, and name the test that does cause them.</summary>
    private static readonly HashSet<string> _withoutProgram = ["DOWNLOAD_FAILED", "INTERNAL", "WORKER_LOST"];

    /// <summary>Codes of warnings: the program prints them and continues.</summary>
    private static readonly HashSet<string> _warnings = ["STEP_MISSED"];

    public static TheoryData<string> Codes =>
    [
        .. Repository.Pages("docs/errors").Select(p => Path.GetFileNameWithoutExtension(p)).Where(c => !_withoutProgram.Contains(c)),
    ];

    [Theory, MemberData(nameof(Codes))]
    public async Task ErrorPage_CausesItsCode_AndCuresIt(string code)
    {
        Page page = Page.Load($"docs/errors/{code}.md");
        Assert.Equal(2, page.Programs.Count); // one that fails and one that does not

        (string output, Exception? failure) = await RunAsync(page, code, page.Programs[0]);
        if (_warnings.Contains(code)) Assert.Null(failure);
        else Assert.Equal(code, failure is null ? $"no failure; it printed: {output}" : NameOf(failure));
        AssertPrinted(page.Programs[0], output + failure?.Message);

        (output, failure) = await RunAsync(page, $"{code}_cure", page.Programs[1]);
        Assert.True(failure is null, $"The cure of {code} fails: {failure}");
        AssertPrinted(page.Programs[1], output);
    }

    [Fact]
    public void PageWithoutProgram_SaysSo()
    {
        foreach (string code in _withoutProgram)
        {
            string text = Repository.Read($"docs/errors/{code}.md");
            Assert.Contains("No program causes this at will", text, StringComparison.Ordinal);
            Assert.DoesNotContain("```csharp", text, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void Index_ListsEveryCode()
    {
        string index = Repository.Read("docs/reference/errors.md");
        foreach (string page in Repository.Pages("docs/errors"))
        {
            string link = $"[{Path.GetFileNameWithoutExtension(page)}](../errors/{Path.GetFileName(page)})";
            Assert.Contains(link, index, StringComparison.Ordinal);
        }
    }

    private static async Task<(string Output, Exception? Failure)> RunAsync(Page page, string name, string program)
    {
        using PageService? service = page.ServiceArguments is { } arguments
            ? await PageService.StartAsync(arguments, TestContext.Current.CancellationToken) : null;
        return PageProgram.Run(name, program);
    }

    private static void AssertPrinted(string program, string output)
    {
        string[] expected = [.. Page.ExpectedOutput(program)];
        Assert.NotEmpty(expected);
        Assert.All(expected, line => Assert.Contains(line, output, StringComparison.Ordinal));
    }

    /// <summary>The code as job.proto writes it.</summary>
    private static string NameOf(Exception failure) =>
        JobReflection.Descriptor.EnumTypes.Single(e => e.Name == nameof(ErrorCode))
            .FindValueByNumber((int)Errors.FromException(failure).Code).Name;
}
