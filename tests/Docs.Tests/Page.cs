using System.Text.RegularExpressions;

namespace Ndif.Docs.Tests;

/// <summary>A fenced block of a page: its language (may be empty) and its text.</summary>
internal sealed record CodeBlock(string Language, string Text);

/// <summary>A Markdown page with the programs that it shows.</summary>
internal sealed partial class Page
{
    private Page(string text) =>
        Blocks = [.. Fence().Matches(text).Select(m => new CodeBlock(m.Groups["language"].Value, m.Groups["text"].Value))];

    public IReadOnlyList<CodeBlock> Blocks { get; }

    /// <summary>The C# blocks, in order.</summary>
    public IReadOnlyList<string> Programs => [.. Blocks.Where(b => b.Language == "csharp").Select(b => b.Text)];

    /// <summary>The arguments of the page's <c>ndif up ...</c>, or null if it needs no service.</summary>
    public string[]? ServiceArguments => Blocks.Select(b => ServiceCommand().Match(b.Text)).FirstOrDefault(m => m.Success)
        ?.Groups["arguments"].Value.Split(' ', StringSplitOptions.RemoveEmptyEntries);

    public static Page Load(string file) => new(Repository.Read(file));

    /// <summary>
    /// Joins all blocks to one program, as if a reader typed them one after the other. Using directives come first, each once.
    /// </summary>
    public static string Join(IEnumerable<string> blocks)
    {
        string[] lines = [.. blocks.SelectMany(b => b.Split('\n'))];
        string[] usings = [.. lines.Where(l => Using().IsMatch(l)).Distinct()];
        return string.Join('\n', usings.Concat(lines.Where(l => !Using().IsMatch(l))));
    }

    /// <summary>The output that the comments of a program state.</summary>
    public static IEnumerable<string> ExpectedOutput(string program) => Prints().Matches(program).Select(m => m.Groups[1].Value.TrimEnd());

    [GeneratedRegex(@"^```(?<language>\w*)\n(?<text>.*?)^```", RegexOptions.Multiline | RegexOptions.Singleline)]
    private static partial Regex Fence();

    [GeneratedRegex(@"^ndif up(?<arguments>[^\n#]*)", RegexOptions.Multiline)]
    private static partial Regex ServiceCommand();

    [GeneratedRegex(@"^using (static )?[\w.]+( = [\w.<>]+)?;\s*$")]
    private static partial Regex Using();

    [GeneratedRegex(@"// prints: (.+)")]
    private static partial Regex Prints();
}
