using System.Diagnostics;
using Ndif.Protocol;
using Ndif.Queue;

namespace Ndif.Worker;

/// <summary>
/// Where a job's time goes, from its submission to the publication of its end, without gaps and without overlap:
/// <code>
///   submitted ── queue ── leased ── load ── wait ── compile ── wait ── pass begins ── run (less save) ── pass ends ── end ── published
/// </code>
/// They travel in its <see cref="Usage"/>, are spans of its trace, and the samples of a histogram.
/// </summary>
internal sealed class JobPhases : IDisposable
{
    private readonly Lease _lease;
    private readonly Activity? _job;
    private readonly DateTimeOffset _now = DateTimeOffset.UtcNow;
    private readonly long _began = Stopwatch.GetTimestamp();
    private long _compiling, _compiled, _running, _ran;
    private readonly TimeSpan _loading;
    private TimeSpan _saving;

    /// <param name="ready">When the model was loaded.</param>
    public JobPhases(Lease lease, DateTimeOffset ready)
    {
        _lease = lease;
        TimeSpan had = Stopwatch.GetElapsedTime(lease.Taken, _began), load = ready - At(lease.Taken);
        _loading = load < TimeSpan.Zero ? TimeSpan.Zero : load < had ? load : had;
        Activity? before = Activity.Current;
        _job = Telemetry.Source.StartActivity("job", ActivityKind.Consumer, lease.TraceParent, startTime: At(lease.Taken))
            ?.SetTag("ndif.job", lease.JobId).SetTag("ndif.model", lease.Model).SetTag("ndif.attempt", lease.Attempt);
        Activity.Current = before; // spans of other jobs begin on this thread too
        Span("queue", At(lease.Taken) - lease.Waited, At(lease.Taken));
        if (_loading > TimeSpan.Zero) Span("load", At(lease.Taken), At(lease.Taken) + _loading);
    }

    public void Compiling() => _compiling = Stopwatch.GetTimestamp();

    public void Compiled()
    {
        _compiled = Stopwatch.GetTimestamp();
        Span("compile", At(_compiling), At(_compiled));
    }

    /// <summary>The pass that the job is in begins; from its thread.</summary>
    public void Running() => _running = Stopwatch.GetTimestamp();

    /// <summary>The pass has ended.</summary>
    public void Ran()
    {
        _ran = Stopwatch.GetTimestamp();
        if (_running == 0) _running = _ran;
        Span("wait", At(_compiled), At(_running));
        Span("run", At(_running), At(_ran))?.SetTag("ndif.save_seconds", _saving.TotalSeconds);
    }

    /// <summary>Writes down a value, on the pass's time.</summary>
    public void Save(Action write)
    {
        long from = Stopwatch.GetTimestamp();
        write();
        _saving += Stopwatch.GetElapsedTime(from);
    }

    /// <summary>What there is to tell at the moment in which the job's end is published.</summary>
    public IEnumerable<Phase> ToEnd(string outcome)
    {
        long now = Stopwatch.GetTimestamp();
        if (_ran == 0) Ran(); // the pass failed as a whole
        Span("end", At(_ran), At(now));
        TimeSpan compile = Stopwatch.GetElapsedTime(_compiling, _compiled), run = Stopwatch.GetElapsedTime(_running, _ran);
        (string Name, TimeSpan Time)[] phases =
        [
            ("queue", _lease.Waited), ("load", _loading), ("wait", Stopwatch.GetElapsedTime(_lease.Taken, _running) - compile - _loading), ("compile", compile),
            ("run", run - _saving), ("save", _saving), ("end", Stopwatch.GetElapsedTime(_ran, now)),
        ];
        foreach (var (name, time) in phases) Telemetry.Phase(name, _lease.Model, time);
        Telemetry.Ended(_lease.Model, outcome);
        _job?.SetTag("ndif.outcome", outcome);
        return phases.Select(phase => new Phase { Name = phase.Name, Seconds = phase.Time.TotalSeconds });
    }

    public void Dispose() => _job?.Dispose();

    private Activity? Span(string name, DateTimeOffset from, DateTimeOffset to)
    {
        if (_job is null) return null;
        Activity? before = Activity.Current;
        Activity? span = Telemetry.Source.StartActivity(name, ActivityKind.Internal, _job.Context, startTime: from);
        span?.SetEndTime(to.UtcDateTime);
        span?.Stop();
        Activity.Current = before;
        return span;
    }

    /// <summary>A moment of the stopwatch by the clock.</summary>
    private DateTimeOffset At(long timestamp) => _now - Stopwatch.GetElapsedTime(timestamp, _began);
}
