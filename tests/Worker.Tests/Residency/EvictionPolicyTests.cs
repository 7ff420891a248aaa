using Ndif.Worker.Residency;

namespace Ndif.Worker.Tests.Residency;

public sealed class EvictionPolicyTests
{
    private static readonly DateTimeOffset _noon = new(2026, 1, 1, 12, 0, 0, TimeSpan.Zero);

    [Theory]
    [InlineData(10, 10, "a5", "")]                 // it fits without evictions
    [InlineData(10, 5, "a5 b5 c5", "a")]           // the least recently used
    [InlineData(10, 0, "a5 b5 c5", "a b")]
    [InlineData(10, 3, "a1 b1 c7 d9", "c")]        // a and b are not enough, but c is
    [InlineData(10, 2, "a1 b1 c7 d9", "a c")]      // a is older than b
    [InlineData(10, -5, "a5 b5 c5", "a b c")]      // the budget is exceeded
    [InlineData(10, 0, "a5 b4", null)]
    [InlineData(10, 9, "", null)]
    public void TheLeastRecentlyUsedGo_AndNoneWithoutNeed(long bytes, long free, string held, string? gone)
    {
        EvictionCandidate<string>[] all = [.. held.Split(' ', StringSplitOptions.RemoveEmptyEntries)
            .Select((model, i) => new EvictionCandidate<string>(
                model[..1], long.Parse(model[1..], System.Globalization.CultureInfo.InvariantCulture), _noon.AddMinutes(i)))];
        Array.Reverse(all); // the order of the candidates does not matter
        Assert.Equal(gone, EvictionPolicy.SelectEvictions(bytes, free, all) is { } chosen ? string.Join(' ', chosen) : null);
    }
}
