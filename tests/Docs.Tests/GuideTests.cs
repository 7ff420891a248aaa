using System.Text.RegularExpressions;
using System.Xml.Linq;

namespace Ndif.Docs.Tests;

/// <summary>The C# blocks of each page of the guide, joined to one program, run and print what their comments say.</summary>
public sealed partial class GuideTests
{
    public static TheoryData<string> Pages =>
        [.. Repository.Pages("docs/guide").Concat(Repository.Pages("docs/operating")).Where(p => Page.Load(p).Programs.Count > 0)];

    [Theory, MemberData(nameof(Pages))]
    public async Task Page_Runs_AndPrintsWhatItSays(string file)
    {
        Page page = Page.Load(file);
        string program = Page.Join(page.Programs);
        using PageService? service = page.ServiceArguments is { } arguments
            ? await PageService.StartAsync(arguments, TestContext.Current.CancellationToken) : null;

        (string output, Exception? failure) = PageProgram.Run(Path.GetFileNameWithoutExtension(file).Replace('-', '_'), program);
        Assert.True(failure is null, $"{file} fails: {failure}\n{output}");
        string[] expected = [.. Page.ExpectedOutput(program)];
        Assert.NotEmpty(expected);
        Assert.All(expected, line => Assert.Contains(line, output, StringComparison.Ordinal));
    }

    /// <summary>The README shows samples, which tests/Repository.Tests runs as files.</summary>
    [Fact]
    public void ReadmesProgram_IsASample()
    {
        string program = Assert.Single(Page.Load("README.md").Programs);
        Assert.Equal(Repository.Read("docs/samples/first-trace.cs"), program);
    }

    /// <summary>The picture in the README has the same text as the one that the sample draws; colors may differ.</summary>
    [Fact]
    public void ReadmesPicture_IsTheSamples()
    {
        string sample = Repository.Read("docs/samples/logit-lens.cs");
        (string output, Exception? failure) = PageProgram.Run("logit_lens", Directive().Replace(sample, ""));
        Assert.True(failure is null, $"{failure}\n{output}");
        string drawn = File.ReadAllText(Path.Combine(Path.GetTempPath(), "logit-lens.svg"));
        Assert.Equal(Texts(Repository.Read("docs/images/logit-lens.svg")), Texts(drawn));
    }

    /// <summary>The visible texts; probabilities on hover have more digits than processors agree on.</summary>
    private static string[] Texts(string svg) => [.. XDocument.Parse(svg).Descendants().Where(e => e.Name.LocalName == "text")
        .Select(e => string.Concat(e.Nodes().OfType<XText>()))];

    [GeneratedRegex("^#:.*$", RegexOptions.Multiline)]
    private static partial Regex Directive();
}
