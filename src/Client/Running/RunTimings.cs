using System.Diagnostics;
using Ndif.Protocol;

namespace Ndif;

/// <summary>
/// Where the time of a remote run went: what this client did and waited for, and the phases that the service tells with the job's end.
/// </summary>
/// <param name="Phases">
/// In order: send (until the service says that it has the job), queue, load, wait, compile, run, save, end (as <see cref="Usage.Phases"/>), deliver (until
/// the last value was here). They are measured each for itself and add up to <paramref name="Total"/> but for a few hundred microseconds.
/// </param>
/// <param name="Total">From the call to its return.</param>
public sealed record RunTimings(IReadOnlyList<(string Phase, TimeSpan Time)> Phases, TimeSpan Total)
{
    /// <summary>For a person: "12.3 ms: send 1.1, queue 0.2, ...".</summary>
    public override string ToString() => string.Create(System.Globalization.CultureInfo.InvariantCulture,
        $"{Total.TotalMilliseconds:0.0} ms: {string.Join(", ", Phases.Select(p => string.Create(System.Globalization.CultureInfo.InvariantCulture, $"{p.Phase} {p.Time.TotalMilliseconds:0.0}")))}");
}

/// <summary>Takes the times of one run as its events come.</summary>
internal sealed class RunClock
{
    private readonly long _startTimestamp = Stopwatch.GetTimestamp();
    private readonly DateTimeOffset _startTime = DateTimeOffset.UtcNow;
    private TimeSpan _acceptedAfter, _endedAfter;
    private DateTimeOffset? _receivedTime, _endedTime;
    private Usage? _usage;

    public void OnEvent(Event jobEvent)
    {
        if (jobEvent.State is not { } state) return;
        if (state.State is JobState.Received) (_acceptedAfter, _receivedTime) = (Stopwatch.GetElapsedTime(_startTimestamp), jobEvent.Time?.ToDateTimeOffset());
        if (state.State is JobState.Completed or JobState.Failed) (_endedAfter, _endedTime, _usage) = (Stopwatch.GetElapsedTime(_startTimestamp), jobEvent.Time?.ToDateTimeOffset(), state.Usage);
    }

    /// <summary>Null for a run that no service told the times of.</summary>
    public RunTimings? Stop()
    {
        TimeSpan total = Stopwatch.GetElapsedTime(_startTimestamp);
        if (_usage is null || _receivedTime is not { } received || _endedTime is not { } ended) return null;
        // Both clocks saw the job received and ended: by how much more time passed here, so much the client was behind at the end.
        TimeSpan deliver = (_endedAfter - _acceptedAfter) - (ended - received) + (total - _endedAfter);
        if (deliver < TimeSpan.Zero) deliver = TimeSpan.Zero;
        RecordSpan("send", TimeSpan.Zero, _acceptedAfter);
        RecordSpan("deliver", total - deliver, total);
        return new RunTimings([("send", _acceptedAfter), .. _usage.Phases.Select(phase => (phase.Name, TimeSpan.FromSeconds(phase.Seconds))), ("deliver", deliver)], total);
    }

    private void RecordSpan(string name, TimeSpan from, TimeSpan to)
    {
        if (Activity.Current is not { } run || run.Source != Telemetry.Source) return;
        Activity? span = Telemetry.Source.StartActivity(name, ActivityKind.Internal, run.Context, startTime: _startTime + from);
        span?.SetEndTime((_startTime + to).UtcDateTime);
        span?.Stop();
        Activity.Current = run;
    }
}
