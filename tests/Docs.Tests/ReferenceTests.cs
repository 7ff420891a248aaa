using System.ComponentModel.DataAnnotations;
using System.Diagnostics;
using System.Globalization;
using System.Reflection;
using System.Text.RegularExpressions;
using Ndif.Queue;
using Ndif.Queue.Blobs;
using Ndif.Server;
using Ndif.Worker;

namespace Ndif.Docs.Tests;

/// <summary>docs/reference says of commands, switches and options what the program itself says.</summary>
public sealed partial class ReferenceTests
{
    private static readonly string[][] _commands =
    [
        [], ["demo"], ["up"], ["serve"], ["worker"], ["status"], ["usage"], ["parity"],
        ["keys"], ["keys", "create"], ["keys", "list"], ["keys", "revoke"],
        ["models"], ["models", "pull"], ["models", "deploy"], ["models", "evict"], ["models", "pin"], ["models", "unpin"],
        ["models", "scale"], ["models", "drain"], ["models", "list"], ["models", "sync"],
        ["jobs"], ["jobs", "list"], ["jobs", "show"], ["jobs", "watch"], ["jobs", "cancel"], ["jobs", "delete"], ["jobs", "dead"],
        ["jobs", "requeue"],
    ];

    /// <summary>The page has a section for each command, with its switches and no others.</summary>
    [Fact]
    public async Task CommandReference_HasEveryCommandAndSwitch()
    {
        Dictionary<string, string> sections = Sections(Repository.Read("docs/reference/cli.md"));
        List<string> missing = [];
        foreach (string[] command in _commands)
        {
            string help = await HelpAsync(command);
            string name = string.Join(' ', ["ndif", .. command]);
            foreach (Match sub in Subcommand().Matches(help))
                if (!_commands.Any(c => c.SequenceEqual([.. command, sub.Groups[1].Value])))
                    missing.Add($"{name} {sub.Groups[1].Value} is not known to this test");
            if (command.Length == 0) continue;
            if (!sections.TryGetValue(name, out string? section))
            {
                missing.Add($"## {name}");
                continue;
            }
            HashSet<string> there = [.. Names(OptionColumn().Matches(help)).Where(s => s is not ("--help" or "--version"))];
            HashSet<string> shown = [.. Names(FirstCell().Matches(section))];
            missing.AddRange(there.Except(shown).Select(s => $"{name} {s} is not in the page"));
            missing.AddRange(shown.Except(there).Select(s => $"{name} {s} is in the page only"));
        }
        Assert.Empty(missing);
    }

    /// <summary>The page has a row for each option, with its default and its bounds.</summary>
    [Theory]
    [InlineData("Gateway", typeof(GatewayOptions))]
    [InlineData("Tier", typeof(Tier))]
    [InlineData("Queue", typeof(QueueOptions))]
    [InlineData("Blobs", typeof(BlobOptions))]
    [InlineData("Worker", typeof(WorkerOptions))]
    public void OptionReference_HasEveryOption(string section, Type options)
    {
        Dictionary<string, string> sections = Sections(Repository.Read("docs/reference/options.md"));
        Dictionary<string, string> rows = sections[section].Split('\n').Select(l => Row().Match(l)).Where(m => m.Success)
            .ToDictionary(m => m.Groups[1].Value, m => m.Value);
        PropertyInfo[] properties = [.. options.GetProperties(BindingFlags.Public | BindingFlags.Instance).Where(p => p.CanWrite)];
        Assert.Equal(properties.Select(p => p.Name).Order(StringComparer.Ordinal), rows.Keys.Order(StringComparer.Ordinal));
        foreach (PropertyInfo property in properties)
            if (property.GetCustomAttribute<RangeAttribute>() is { } range)
                Assert.Contains($"{Bound(range.Minimum)} to {Bound(range.Maximum)}", rows[property.Name], StringComparison.Ordinal);
    }

    /// <summary>The long names of switches in what was matched.</summary>
    private static IEnumerable<string> Names(MatchCollection matches) =>
        matches.SelectMany(m => Switch().Matches(m.Value)).Select(m => m.Value);

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
        using Process process = Process.Start(new ProcessStartInfo("dotnet", arguments) { RedirectStandardOutput = true })!;
        string output = await process.StandardOutput.ReadToEndAsync(TestContext.Current.CancellationToken);
        await process.WaitForExitAsync(TestContext.Current.CancellationToken);
        return output;
    }

    [GeneratedRegex(@"(?<![\w-])--[a-z][a-z0-9-]*")]
    private static partial Regex Switch();

    /// <summary>The names of an option in a help text, without its description.</summary>
    [GeneratedRegex(@"^  -\S*(?: \S+)*", RegexOptions.Multiline)]
    private static partial Regex OptionColumn();

    /// <summary>The first cell of a row of a table, if it is code.</summary>
    [GeneratedRegex(@"^\| `-[^`]*`", RegexOptions.Multiline)]
    private static partial Regex FirstCell();

    [GeneratedRegex(@"(?<=Commands:\r?\n(?:  [^\n]*\n)*)  ([a-z]+)")]
    private static partial Regex Subcommand();

    [GeneratedRegex(@"^\| `(\w+)` \|.*$")]
    private static partial Regex Row();
}
