namespace Ndif.Server.Tests.Support;

/// <summary>The system's clock, moved ahead at will. Timers keep real time.</summary>
internal sealed class AdjustableTimeProvider : TimeProvider
{
    private TimeSpan _offset;

    public void Advance(TimeSpan by) => _offset += by;

    public override DateTimeOffset GetUtcNow() => base.GetUtcNow() + _offset;
}
