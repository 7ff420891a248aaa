namespace Ndif.Worker.Tests;

public sealed class RoomTests
{
    private static readonly DateTimeOffset s_noon = new(2026, 1, 1, 12, 0, 0, TimeSpan.Zero);

    [Theory]
    [InlineData(10, 10, "a5", "")]                 // it fits as it is
    [InlineData(10, 5, "a5 b5 c5", "a")]           // the least recently used
    [InlineData(10, 0, "a5 b5 c5", "a b")]
    [InlineData(10, 3, "a1 b1 c7 d9", "c")]        // a and b alone are not enough, and c alone is
    [InlineData(10, 2, "a1 b1 c7 d9", "a c")]      // of a and b the older
    [InlineData(10, -5, "a5 b5 c5", "a b c")]      // more is taken than the budget has
    [InlineData(10, 0, "a5 b4", null)]
    [InlineData(10, 9, "", null)]
    public void TheLeastRecentlyUsedGo_AndNoneWithoutNeed(long bytes, long free, string held, string? gone)
    {
        Evictable<string>[] all = [.. held.Split(' ', StringSplitOptions.RemoveEmptyEntries)
            .Select((model, i) => new Evictable<string>(model[..1], long.Parse(model[1..], System.Globalization.CultureInfo.InvariantCulture), s_noon.AddMinutes(i)))];
        Array.Reverse(all); // their order does not matter, their times do
        Assert.Equal(gone, Room.For(bytes, free, all) is { } chosen ? string.Join(' ', chosen) : null);
    }
}
