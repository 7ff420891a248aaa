using System.Reflection;
using System.Text.RegularExpressions;

namespace Ndif.Language.Tests;

/// <summary>
/// For every portable case of nnsight's tests (Cases.txt), docs/nnsight-tests.md lists the test that covers it or the reason for its
/// absence.
/// </summary>
public sealed partial class CoverageTests
{
    private static readonly Dictionary<string, string[]> _carried = typeof(CoverageTests).Assembly.GetTypes()
        .SelectMany(type => type.GetMethods()
            .Select(method => (Name: $"{type.Name}.{method.Name}", Carries: method.GetCustomAttribute<PortedFromAttribute>())))
        .Where(test => test.Carries is not null).ToDictionary(test => test.Name, test => test.Carries!.Cases.ToArray());

    private static string[] Document => File.ReadAllLines(RepositoryFolder.PathOf("docs/nnsight-tests.md"));

    private static (string Case, string Test, string Remark)[] Rows =>
        [.. Document.Select(line => Row().Match(line)).Where(m => m.Success)
            .Select(m => (m.Groups[1].Value, m.Groups[2].Value, m.Groups[3].Value.Trim()))];

    private static string[] Cases
    {
        get
        {
            using var reader = new StreamReader(typeof(CoverageTests).Assembly.GetManifestResourceStream("Cases")!);
            return [.. reader.ReadToEnd().Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(line => line.Split(' ')[1])];
        }
    }

    [Fact]
    public void EveryCase_StandsInTheTable_Once() => Assert.Equal(Cases, Rows.Select(row => row.Case));

    [Fact]
    public void EveryTestThatTheTableNames_Exists_AndCarriesTheCase()
    {
        foreach (var (@case, test, remark) in Rows)
        {
            if (test == "-") Assert.True(remark.Length > 20, $"{@case}: neither a test nor a reason.");
            else if (OtherTest().Match(test) is { Success: true } other)
                Assert.Matches($@"\b{other.Groups[2].Value}\(", File.ReadAllText(RepositoryFolder.PathOf(other.Groups[1].Value)));
            else Assert.True(_carried.TryGetValue(test, out string[]? carried)
                && carried.Contains(@case), $"{@case}: `{test}` does not carry it.");
        }
    }

    [Fact]
    public void EveryCaseThatATestCarries_NamesItInTheTable()
    {
        var rows = Rows.ToDictionary(row => row.Case, row => row.Test);
        foreach (var (test, cases) in _carried)
            Assert.All(cases, @case => Assert.Equal(test, rows.GetValueOrDefault(@case)));
    }

    [Fact]
    public void TheCountsAtTheEnd_AreTheTables()
    {
        int carried = Rows.Count(row => row.Test != "-");
        Assert.Equal($"{Rows.Length} cases: {carried} are carried over, {Rows.Length - carried} do not apply.", Document[^1]);
    }

    /// <summary>| case | test | remark |</summary>
    [GeneratedRegex(@"^\| (\S+/\S+) \| (\S+(?: \S+)?) \|(.*)\|$")]
    private static partial Regex Row();

    /// <summary>tests/EndToEnd.Tests/ManyClientsTests.cs Method</summary>
    [GeneratedRegex(@"^(\S+\.cs) (\w+)$")]
    private static partial Regex OtherTest();
}
