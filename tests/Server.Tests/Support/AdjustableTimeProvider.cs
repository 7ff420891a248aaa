namespace Ndif.Server.Tests.Support;

/// <summary>The system clock with an adjustable offset. Timers use real time.</summary>
internal sealed class AdjustableTimeProvider : TimeProvider
{
    private TimeSpan _offset;

    public void Advance(TimeSpan by) => _offset += by;

    public override DateTimeOffset GetUtcNow() => base.GetUtcNow() + _offset;
}
