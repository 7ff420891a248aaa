using System.Diagnostics;
using System.Globalization;
using Ndif.Protocol;

namespace Ndif;

/// <summary>
/// The times of a run: those that this client measured, and the phases that the service, or the engine of this process, reports at the end.
/// </summary>
/// <param name="Phases">
/// In order: send (until the service confirms the job), queue, load, wait, compile, run, save, end (as in <see cref="Usage.Phases"/>),
/// deliver (until the last value arrived). Each phase is measured separately; their sum differs from <paramref name="Total"/> by less than
/// a millisecond. In a local run nothing is sent, queued or delivered; wait is the time until an earlier run in this process has ended.
/// </param>
/// <param name="Total">The time from the call to its return.</param>
public sealed record RunTimings(IReadOnlyList<(string Phase, TimeSpan Time)> Phases, TimeSpan Total)
{
    /// <summary>The times of runs that follow each other, by phase; null if one of them is not known.</summary>
    internal static RunTimings? Sum(IReadOnlyList<RunTimings?> runs)
    {
        if (runs.Count <= 1 || runs.Any(run => run is null)) return runs.Count == 1 ? runs[0] : null;
        var phases = runs.SelectMany(run => run!.Phases).GroupBy(phase => phase.Phase)
            .Select(phase => (phase.Key, TimeSpan.FromTicks(phase.Sum(part => part.Time.Ticks))));
        return new RunTimings([.. phases], TimeSpan.FromTicks(runs.Sum(run => run!.Total.Ticks)));
    }

    /// <summary>The times in milliseconds: "12.3 ms: send 1.1, queue 0.2, ...".</summary>
    public override string ToString()
    {
        IEnumerable<string> phases = Phases.Select(phase => $"{phase.Phase} {Format(phase.Time)}");
        return $"{Format(Total)} ms: {string.Join(", ", phases)}";

        static string Format(TimeSpan time) => time.TotalMilliseconds.ToString("0.0", CultureInfo.InvariantCulture);
    }
}

/// <summary>Measures the times of one run from its events.</summary>
internal sealed class RunClock
{
    private readonly long _startTimestamp = Stopwatch.GetTimestamp();
    private readonly DateTimeOffset _startTime = DateTimeOffset.UtcNow;
    private TimeSpan _acceptedAfter, _endedAfter;
    private DateTimeOffset? _receivedTime, _endedTime;
    private Usage? _usage;
    private IReadOnlyList<Phase>? _localPhases;

    public void OnEnded(IReadOnlyList<Phase> phases) => _localPhases = phases;

    public void OnEvent(Event jobEvent)
    {
        if (jobEvent.State is not { } state) return;
        TimeSpan elapsed = Stopwatch.GetElapsedTime(_startTimestamp);
        DateTimeOffset? time = jobEvent.Time?.ToDateTimeOffset();
        if (state.State is JobState.Received) (_acceptedAfter, _receivedTime) = (elapsed, time);
        if (state.State is JobState.Completed or JobState.Failed) (_endedAfter, _endedTime, _usage) = (elapsed, time, state.Usage);
    }

    /// <summary>The times; null for a run whose runner reports none.</summary>
    public RunTimings? Stop()
    {
        TimeSpan total = Stopwatch.GetElapsedTime(_startTimestamp);
        if (_localPhases is { } local)
        {
            double rest = Math.Max(0, total.TotalSeconds - local.Sum(phase => phase.Seconds));
            return new RunTimings([.. local.Select(phase =>
                (phase.Name, TimeSpan.FromSeconds(phase.Name == "deliver" ? rest : phase.Seconds)))], total);
        }
        if (_usage is null || _receivedTime is not { } received || _endedTime is not { } ended) return null;
        // The service and the client both measure the time from the job's receipt to its end. The difference is the delay of the client.
        TimeSpan deliver = (_endedAfter - _acceptedAfter) - (ended - received) + (total - _endedAfter);
        if (deliver < TimeSpan.Zero) deliver = TimeSpan.Zero;
        RecordSpan("send", TimeSpan.Zero, _acceptedAfter);
        RecordSpan("deliver", total - deliver, total);
        IEnumerable<(string, TimeSpan)> served = _usage.Phases.Select(phase => (phase.Name, TimeSpan.FromSeconds(phase.Seconds)));
        return new RunTimings([("send", _acceptedAfter), .. served, ("deliver", deliver)], total);
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
