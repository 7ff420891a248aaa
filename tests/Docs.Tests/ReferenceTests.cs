using System.ComponentModel.DataAnnotations;
using System.Diagnostics;
using System.Globalization;
using System.Reflection;
using System.Text.RegularExpressions;
using Microsoft.CodeAnalysis;
using Microsoft.CodeAnalysis.CSharp;
using Microsoft.CodeAnalysis.CSharp.Syntax;
using Ndif.Queue;
using Ndif.Queue.Blobs;
using Ndif.Server;
using Ndif.Worker;

namespace Ndif.Docs.Tests;

/// <summary>docs/reference agrees with the help of the commands and with the XML documentation of the options.</summary>
public sealed partial class ReferenceTests
{
    private static readonly string[][] _commands =
    [
        [], ["demo"], ["up"], ["serve"], ["worker"], ["status"], ["usage"], ["parity"], ["collect"], ["doctor"], ["workbench"],
        ["keys"], ["keys", "create"], ["keys", "list"], ["keys", "revoke"],
        ["models"], ["models", "pull"], ["models", "deploy"], ["models", "evict"], ["models", "pin"], ["models", "unpin"],
        ["models", "scale"], ["models", "drain"], ["models", "list"], ["models", "sync"],
        ["jobs"], ["jobs", "list"], ["jobs", "show"], ["jobs", "watch"], ["jobs", "cancel"], ["jobs", "kill"],
        ["jobs", "delete"], ["jobs", "dead"], ["jobs", "requeue"],
        ["edits"], ["edits", "publish"], ["edits", "list"], ["edits", "show"], ["edits", "delete"],
    ];

    /// <summary>
    /// The page has a section for each command, with the description, usage, arguments, switches and subcommands of its help and no others.
    /// </summary>
    [Fact]
    public async Task CommandReference_HasEveryCommandAndSwitch()
    {
        Dictionary<string, string> sections = Sections(Repository.Read("docs/reference/cli.md"));
        List<string> missing = [];
        foreach (string[] command in _commands)
        {
            string help = await HelpAsync(command);
            string name = string.Join(' ', ["ndif", .. command]);
            Dictionary<string, string> there = HelpRows(help, name);
            foreach (string sub in there.Keys.Where(k => k.StartsWith($"{name} ", StringComparison.Ordinal)))
            {
                string word = sub[(name.Length + 1)..].Split(' ')[0];
                if (!_commands.Any(c => c.SequenceEqual([.. command, word]))) missing.Add($"{name} {word} is not known to this test");
            }
            if (command.Length == 0) continue;
            if (!sections.TryGetValue(name, out string? section))
            {
                missing.Add($"## {name}");
                continue;
            }
            string opening = $"{LineBelow(help, "Description:")}\n\n```\n{LineBelow(help, "Usage:")}\n```\n";
            if (!section.Contains($"\n\n{opening}", StringComparison.Ordinal)) missing.Add($"{name} does not begin with {opening}");
            Dictionary<string, string> shown = CommandRow().Matches(section).ToDictionary(m => m.Groups[1].Value, m => m.Groups[2].Value);
            missing.AddRange(shown.Keys.Except(there.Keys).Select(s => $"{name} {s} is in the page only"));
            foreach ((string row, string description) in there)
                if (!shown.TryGetValue(row, out string? text)) missing.Add($"{name} {row} is not in the page");
                else if (text != description) missing.Add($"{name} {row} is described as: {description}");
        }
        Assert.Empty(missing);
    }

    /// <summary>
    /// The page has a row for each option, with its bounds and its XML documentation, which states the default. The stated default is not
    /// compared with the value.
    /// </summary>
    [Theory]
    [InlineData("Gateway", typeof(GatewayOptions), "src/Server/GatewayOptions.cs")]
    [InlineData("Tier", typeof(Tier), "src/Server/Tier.cs")]
    [InlineData("Queue", typeof(QueueOptions), "src/Queue/QueueOptions.cs")]
    [InlineData("Blobs", typeof(BlobOptions), "src/Queue/Blobs/BlobOptions.cs")]
    [InlineData("Worker", typeof(WorkerOptions), "src/Worker/WorkerOptions.cs")]
    public void OptionReference_HasEveryOption(string section, Type options, string source)
    {
        Dictionary<string, string> sections = Sections(Repository.Read("docs/reference/options.md"));
        Dictionary<string, string> rows = sections[section].Split('\n').Select(l => Row().Match(l)).Where(m => m.Success)
            .ToDictionary(m => m.Groups[1].Value, m => m.Value);
        PropertyInfo[] properties = [.. options.GetProperties(BindingFlags.Public | BindingFlags.Instance).Where(p => p.CanWrite)];
        Assert.Equal(properties.Select(p => p.Name).Order(StringComparer.Ordinal), rows.Keys.Order(StringComparer.Ordinal));
        foreach (PropertyInfo property in properties)
            if (property.GetCustomAttribute<RangeAttribute>() is { } range)
                Assert.Contains($"{Bound(range.Minimum)} to {Bound(range.Maximum)}", rows[property.Name], StringComparison.Ordinal);
        Dictionary<string, string> documented = Documented(Repository.Read(source));
        foreach ((string name, string row) in rows)
            Assert.EndsWith($" | {documented[name]} |", row, StringComparison.Ordinal);
    }

    /// <summary>The descriptions of a help text by argument, option and subcommand (with the name of its command before it).</summary>
    private static Dictionary<string, string> HelpRows(string help, string name)
    {
        Dictionary<string, string> rows = [];
        string heading = "";
        foreach (string line in help.Split('\n').Select(l => l.TrimEnd()))
        {
            if (line.EndsWith(':') && !line.StartsWith(' ')) heading = line;
            if (heading is not ("Arguments:" or "Options:" or "Commands:") || HelpRow().Match(line) is not { Success: true } row) continue;
            rows[heading == "Commands:" ? $"{name} {row.Groups[1].Value}" : row.Groups[1].Value] = row.Groups[2].Value;
        }
        rows.Remove("-?, -h, --help");
        rows.Remove("--version");
        return rows;
    }

    private static string LineBelow(string help, string heading) => help.Split($"{heading}\n  ")[1].Split('\n')[0].TrimEnd();

    /// <summary>The XML documentation of the properties of an options class as Markdown, by name.</summary>
    private static Dictionary<string, string> Documented(string source)
    {
        Dictionary<string, string> texts = [];
        SyntaxNode root = CSharpSyntaxTree.ParseText(source, cancellationToken: TestContext.Current.CancellationToken)
            .GetRoot(TestContext.Current.CancellationToken);
        foreach (PropertyDeclarationSyntax property in root.DescendantNodes().OfType<PropertyDeclarationSyntax>())
            if (Summary().Match(property.GetLeadingTrivia().ToFullString()) is { Success: true } summary)
                texts[property.Identifier.Text] = Markdown(summary.Groups[1].Value);
        foreach (RecordDeclarationSyntax type in root.DescendantNodes().OfType<RecordDeclarationSyntax>())
            foreach (Match parameter in Param().Matches(type.GetLeadingTrivia().ToFullString()))
                texts[parameter.Groups[1].Value] = Markdown(parameter.Groups[2].Value);
        return texts;
    }

    private static string Markdown(string documentation)
    {
        string text = string.Join(' ', documentation.Split('\n').Select(l => l.Trim().TrimStart('/').Trim())).Trim();
        return CodeElement().Replace(text, m => $"`{m.Groups[1].Value}{m.Groups[2].Value}`");
    }

    /// <summary>A bound as the page writes it. The attribute holds a <c>long</c> as a <c>double</c>.</summary>
    private static string Bound(object value) => value switch
    {
        int.MaxValue or >= (double)long.MaxValue => "any",
        int i => i.ToString("N0", CultureInfo.InvariantCulture),
        double d and >= 1 => d.ToString("N0", CultureInfo.InvariantCulture),
        double d => d.ToString(CultureInfo.InvariantCulture),
        _ => value.ToString()!,
    };

    /// <summary>The sections of a page by their headings of the second level.</summary>
    private static Dictionary<string, string> Sections(string page) =>
        page.Split("\n## ")[1..].ToDictionary(s => s.Split('\n')[0].Trim('`', ' '), s => s);

    private static async Task<string> HelpAsync(string[] command)
    {
        string[] arguments = [Path.Combine(AppContext.BaseDirectory, "ndif.dll"), .. command, "--help"];
        var start = new ProcessStartInfo("dotnet", arguments) { RedirectStandardOutput = true };
        start.Environment["NDIF_DATA"] = "~/.local/share/ndif"; // the help shows the defaults of this machine
        start.Environment.Remove("NDIF_REDIS");
        using Process process = Process.Start(start)!;
        string output = await process.StandardOutput.ReadToEndAsync(TestContext.Current.CancellationToken);
        await process.WaitForExitAsync(TestContext.Current.CancellationToken);
        return output;
    }

    /// <summary>A line of a help text: a name, two or more spaces, a description.</summary>
    [GeneratedRegex(@"^  (\S+(?: \S+)*)(?:  +(.*))?$")]
    private static partial Regex HelpRow();

    /// <summary>A row of a table whose first cell is code.</summary>
    [GeneratedRegex(@"^\| `([^`]+)` \| (.*) \|$", RegexOptions.Multiline)]
    private static partial Regex CommandRow();

    [GeneratedRegex("<summary>(.*?)</summary>", RegexOptions.Singleline)]
    private static partial Regex Summary();

    [GeneratedRegex("<param name=\"(\\w+)\">(.*?)</param>", RegexOptions.Singleline)]
    private static partial Regex Param();

    /// <summary>An inline code element or a reference.</summary>
    [GeneratedRegex("<c>(.*?)</c>|<see cref=\"(.*?)\"/>")]
    private static partial Regex CodeElement();

    [GeneratedRegex(@"^\| `(\w+)` \|.*$")]
    private static partial Regex Row();
}
