namespace Ndif.Tokenizers.Tests.Chat.Differential;

/// <summary>A clock that always says 2025-03-04 05:06:07, as the oracle does.</summary>
internal sealed class FixedClock : TimeProvider
{
    public override TimeZoneInfo LocalTimeZone => TimeZoneInfo.Utc;

    public override DateTimeOffset GetUtcNow() => new(2025, 3, 4, 5, 6, 7, TimeSpan.Zero);
}
