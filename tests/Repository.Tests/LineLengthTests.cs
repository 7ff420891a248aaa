using System.Globalization;
using System.Text.RegularExpressions;

namespace Ndif.Repository.Tests;

/// <summary>`max_line_length` of .editorconfig, which the compiler does not enforce.</summary>
public sealed partial class LineLengthTests
{
    [Fact]
    public void NoLine_IsLongerThanTheEditorConfigAllows()
    {
        int limit = int.Parse(MaxLineLength().Match(File.ReadAllText(RepositoryFolder.PathOf(".editorconfig"))).Groups[1].Value, CultureInfo.InvariantCulture);
        string[] tooLong = [.. SourceFile.All.SelectMany(file => file.Text.Split('\n')
            .Select((line, index) => (Length: line.TrimEnd('\r').Length, Number: index + 1))
            .Where(line => line.Length > limit)
            .Select(line => $"{file.Path}:{line.Number} has {line.Length} characters"))];
        Assert.True(tooLong.Length == 0, string.Join('\n', tooLong)); // all of them, which Assert.Empty would cut off
    }

    /// <summary>The value in the section of C# files.</summary>
    [GeneratedRegex(@"^\[\*\.cs\][^[]*?^max_line_length = (\d+)", RegexOptions.Multiline)]
    private static partial Regex MaxLineLength();
}
