using System.Diagnostics;

namespace Ndif.Engine.Scheduling;

/// <summary>
/// Owners whose statements have just taken more than their slice of time: a single statement of a second cannot be cut. Until as much
/// time has passed, the passes and the statements of others come first.
/// </summary>
internal sealed class OwnerCooldowns
{
    private readonly Dictionary<string, long> _ends = [];

    /// <summary>Begins a cooldown, after those that have ended are removed.</summary>
    public void Begin(string owner, TimeSpan time)
    {
        long now = Stopwatch.GetTimestamp();
        foreach ((string other, long end) in _ends.ToList())
            if (end <= now) _ends.Remove(other);
        _ends[owner] = now + (long)(time.TotalSeconds * Stopwatch.Frequency);
    }

    public bool IsCoolingDown(string owner) => _ends.TryGetValue(owner, out long end) && Stopwatch.GetTimestamp() < end;
}
