using System.Text.RegularExpressions;

namespace Ndif.Repository.Tests;

/// <summary>A process may log for several projects (`ndif up`), so an event id is one message in all of them.</summary>
public sealed partial class EventIdTests
{
    [Fact]
    public void AnEventId_IsUsedOnce()
    {
        (int Id, string File)[] all = [.. SourceFile.Under("src")
            .SelectMany(file => LoggerMessage().Matches(file.Text).Select(match => (int.Parse(match.Groups[1].Value, null), file.Path)))];
        Assert.True(all.Length > 50);
        Assert.Empty(all.GroupBy(message => message.Id).Where(same => same.Count() > 1)
            .Select(same => $"{same.Key}: {string.Join(", ", same.Select(message => message.File))}"));
    }

    [GeneratedRegex(@"LoggerMessage\(\s*(\d+)")]
    private static partial Regex LoggerMessage();
}
