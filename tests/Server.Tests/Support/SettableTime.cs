namespace Ndif.Server.Tests;

/// <summary>The system's clock, moved ahead at will. Timers keep real time.</summary>
internal sealed class SettableTime : TimeProvider
{
    private TimeSpan ahead;

    public void Advance(TimeSpan by) => ahead += by;

    public override DateTimeOffset GetUtcNow() => base.GetUtcNow() + ahead;
}
