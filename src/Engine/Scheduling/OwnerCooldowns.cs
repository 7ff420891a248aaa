using System.Diagnostics;

namespace Ndif.Engine.Scheduling;

/// <summary>
/// Owners who have just had a turn. Until as much time has passed, others come first: a turn of 5 ms between any two tokens of a small
/// model, which takes 1 ms for each, would be five times the service of its owner. A single statement can take a second.
/// </summary>
internal sealed class OwnerCooldowns
{
    private readonly Dictionary<string, long> _ends = [];

    /// <summary>Begins a cooldown, after those that have ended are removed. A longer one goes on.</summary>
    public void Begin(string owner, TimeSpan time)
    {
        long now = Stopwatch.GetTimestamp();
        foreach ((string other, long end) in _ends.ToList())
            if (end <= now) _ends.Remove(other);
        _ends[owner] = Math.Max(EndOf(owner), now + (long)(time.TotalSeconds * Stopwatch.Frequency));
    }

    /// <param name="end">The timestamp of its end.</param>
    public bool IsCoolingDown(string owner, out long end) => (end = EndOf(owner)) > Stopwatch.GetTimestamp();

    /// <summary>The timestamp of the end of the last cooldown; 0 without one.</summary>
    public long EndOf(string owner) => _ends.GetValueOrDefault(owner);

    public void Clear() => _ends.Clear();
}
