using System.Diagnostics;
using Ndif.Protocol;
using Ndif.Queue;

namespace Ndif.Worker.Serving;

/// <summary>
/// Measures the phases of a job from its submission to the publication of its terminal state, without gaps or overlap:
/// <code>
///   submitted ── queue ── leased ── load ── wait ── compile ── wait ── pass begins ── run (less save) ── pass ends ── end ── published
/// </code>
/// The phases are part of the job's <see cref="Usage"/>, spans of its distributed trace, and samples of a histogram.
/// </summary>
internal sealed class JobPhases : IDisposable
{
    private readonly Lease _lease;
    private readonly Activity? _job;
    private readonly DateTimeOffset _clockTime = DateTimeOffset.UtcNow;
    private readonly long _clockTimestamp = Stopwatch.GetTimestamp();
    private readonly TimeSpan _loadTime;
    private long _compileStart, _compileEnd, _runStart, _runEnd;
    private TimeSpan _saveTime;

    /// <param name="modelReady">When the model was loaded.</param>
    public JobPhases(Lease lease, DateTimeOffset modelReady)
    {
        _lease = lease;
        TimeSpan sinceLease = Stopwatch.GetElapsedTime(lease.LeasedTimestamp, _clockTimestamp);
        TimeSpan load = modelReady - ToClockTime(lease.LeasedTimestamp);
        _loadTime = load < TimeSpan.Zero ? TimeSpan.Zero : load < sinceLease ? load : sinceLease;
        Activity? before = Activity.Current;
        _job = Telemetry.Source.StartActivity(
            "job", ActivityKind.Consumer, lease.TraceParent, startTime: ToClockTime(lease.LeasedTimestamp))
            ?.SetTag("ndif.job", lease.JobId).SetTag("ndif.model", lease.Model).SetTag("ndif.attempt", lease.Attempt);
        Activity.Current = before; // this thread also starts the spans of other jobs
        RecordSpan("queue", ToClockTime(lease.LeasedTimestamp) - lease.TimeInQueue, ToClockTime(lease.LeasedTimestamp));
        if (_loadTime > TimeSpan.Zero)
            RecordSpan("load", ToClockTime(lease.LeasedTimestamp), ToClockTime(lease.LeasedTimestamp) + _loadTime);
    }

    public void OnCompileStarted() => _compileStart = Stopwatch.GetTimestamp();

    public void OnCompileEnded()
    {
        _compileEnd = Stopwatch.GetTimestamp();
        RecordSpan("compile", ToClockTime(_compileStart), ToClockTime(_compileEnd));
    }

    /// <summary>Called on the model thread when the pass of the job begins.</summary>
    public void OnRunStarted() => _runStart = Stopwatch.GetTimestamp();

    /// <summary>Called when the pass has ended.</summary>
    public void OnRunEnded()
    {
        _runEnd = Stopwatch.GetTimestamp();
        if (_runStart == 0) _runStart = _runEnd;
        RecordSpan("wait", ToClockTime(_compileEnd), ToClockTime(_runStart));
        RecordSpan("run", ToClockTime(_runStart), ToClockTime(_runEnd))?.SetTag("ndif.save_seconds", _saveTime.TotalSeconds);
    }

    /// <summary>Runs <paramref name="write"/>, which serializes a saved value, and measures its time.</summary>
    public void MeasureSave(Action write)
    {
        long from = Stopwatch.GetTimestamp();
        write();
        _saveTime += Stopwatch.GetElapsedTime(from);
    }

    /// <summary>Ends the last phase, records all of them, and returns them for the usage report.</summary>
    public IEnumerable<Phase> Complete(string outcome)
    {
        long now = Stopwatch.GetTimestamp();
        if (_runEnd == 0) OnRunEnded(); // it ended while it ran
        RecordSpan("end", ToClockTime(_runEnd), ToClockTime(now));
        TimeSpan compile = Stopwatch.GetElapsedTime(_compileStart, _compileEnd), run = Stopwatch.GetElapsedTime(_runStart, _runEnd);
        (string Name, TimeSpan Time)[] phases =
        [
            ("queue", _lease.TimeInQueue),
            ("load", _loadTime),
            ("wait", Stopwatch.GetElapsedTime(_lease.LeasedTimestamp, _runStart) - compile - _loadTime),
            ("compile", compile),
            ("run", run - _saveTime),
            ("save", _saveTime),
            ("end", Stopwatch.GetElapsedTime(_runEnd, now)),
        ];
        foreach (var (name, time) in phases) Telemetry.RecordPhase(name, _lease.Model, time);
        Telemetry.RecordJobEnd(_lease.Model, outcome);
        _job?.SetTag("ndif.outcome", outcome);
        return phases.Select(phase => new Phase { Name = phase.Name, Seconds = phase.Time.TotalSeconds });
    }

    public void Dispose() => _job?.Dispose();

    private Activity? RecordSpan(string name, DateTimeOffset from, DateTimeOffset to)
    {
        if (_job is null) return null;
        Activity? before = Activity.Current;
        Activity? span = Telemetry.Source.StartActivity(name, ActivityKind.Internal, _job.Context, startTime: from);
        span?.SetEndTime(to.UtcDateTime);
        span?.Stop();
        Activity.Current = before;
        return span;
    }

    /// <summary>Converts a stopwatch timestamp to wall-clock time.</summary>
    private DateTimeOffset ToClockTime(long timestamp) => _clockTime - Stopwatch.GetElapsedTime(timestamp, _clockTimestamp);
}
