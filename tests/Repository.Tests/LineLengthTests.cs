using System.Globalization;
using System.Text.RegularExpressions;

namespace Ndif.Repository.Tests;

/// <summary>`max_line_length` of .editorconfig, which the compiler does not enforce.</summary>
public sealed partial class LineLengthTests
{
    [Fact]
    public void NoLine_IsLongerThanTheEditorConfigAllows()
    {
        int limit =
            int.Parse(MaxLineLength().Match(File.ReadAllText(RepositoryFolder.PathOf(".editorconfig"))).Groups[1].Value,
                CultureInfo.InvariantCulture);
        string[] tooLong = [.. SourceFile.All.SelectMany(file => file.Text.Split('\n')
            .Select((line, index) => (Text: line, Length: line.TrimEnd('\r').Length, Number: index + 1))
            .Where(line => line.Length > limit && !IsTestData(file, line.Number))
            .Select(line => $"{file.Path}:{line.Number} has {line.Length} characters"))];
        Assert.True(tooLong.Length == 0, string.Join('\n', tooLong)); // all of them, which Assert.Empty would cut off
    }

    /// <summary>
    /// A line of a test in a raw string literal, or with a string literal of more than 100 characters: configs, templates, JSON.
    /// </summary>
    private static bool IsTestData(SourceFile file, int number)
    {
        if (!file.Path.StartsWith("tests/", StringComparison.Ordinal)) return false;
        string[] lines = file.Text.Split('\n');
        int quotes = lines[..(number - 1)].Sum(line => line.Split("\"\"\"").Length - 1);
        return quotes % 2 == 1 || LongLiteral().IsMatch(lines[number - 1]);
    }

    [GeneratedRegex("\"(?:\\\\.|[^\"\\\\]){100,}\"|\"\"\"")]
    private static partial Regex LongLiteral();

    /// <summary>The value in the section of C# files.</summary>
    [GeneratedRegex(@"^\[\*\.cs\][^[]*?^max_line_length = (\d+)", RegexOptions.Multiline)]
    private static partial Regex MaxLineLength();
}
