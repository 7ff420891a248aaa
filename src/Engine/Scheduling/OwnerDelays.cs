using System.Diagnostics;

namespace Ndif.Engine.Scheduling;

/// <summary>The time for which the statements of an owner's jobs have kept the jobs of other owners waiting, of which half is forgotten in
/// ten seconds.</summary>
internal sealed class OwnerDelays
{
    private const double HalfLifeSeconds = 10;

    private readonly Dictionary<string, (TimeSpan Delay, long Timestamp)> _owners = [];

    public void Add(string owner, TimeSpan delay)
    {
        if (delay > TimeSpan.Zero) _owners[owner] = (Of(owner) + delay, Stopwatch.GetTimestamp());
    }

    public TimeSpan Of(string owner) => _owners.TryGetValue(owner, out var state)
        ? state.Delay * Math.Pow(0.5, Stopwatch.GetElapsedTime(state.Timestamp).TotalSeconds / HalfLifeSeconds) : TimeSpan.Zero;
}
