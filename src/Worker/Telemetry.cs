using System.Diagnostics;
using System.Diagnostics.Metrics;

namespace Ndif.Worker;

/// <summary>The metrics and traces of the worker. Add the activity source and the meter by <see cref="Name"/>.</summary>
public static class Telemetry
{
    public const string Name = "Ndif.Worker";

    internal static ActivitySource Source { get; } = new(Name);

    private static readonly Meter _meter = new(Name);
    private static readonly Histogram<double> _phases = _meter.CreateHistogram<double>(
        "ndif.job.phase_seconds", "s", "Parts of a job's time, by phase and model");
    private static readonly Counter<long> _jobs = _meter.CreateCounter<long>(
        "ndif.worker.jobs", "{job}", "Jobs ended here, by model and outcome");

    private static readonly Counter<long> _unresponsive = _meter.CreateCounter<long>(
        "ndif.worker.unresponsive_calls", "{call}",
        "Native calls that did not end after their jobs were stopped, so that the worker ended");

    private static long _restartsAfterUnresponsiveCall, _restartsAfterFailure;

    internal static ObservableCounter<long> Restarts { get; } = _meter.CreateObservableCounter<long>(
        "ndif.worker.restarts", () =>
        [
            new(_restartsAfterUnresponsiveCall, new KeyValuePair<string, object?>("reason", "unresponsive")),
            new(_restartsAfterFailure, new KeyValuePair<string, object?>("reason", "failed")),
        ], "{restart}", "Restarts of the worker by its supervisor, by reason");

    internal static void RecordUnresponsive(string model) => _unresponsive.Add(1, new KeyValuePair<string, object?>("model", model));

    /// <summary>Sets how often a supervisor has started this worker again, which the process itself cannot count.</summary>
    public static void SetRestarts(long afterUnresponsiveCall, long afterFailure) =>
        (_restartsAfterUnresponsiveCall, _restartsAfterFailure) = (afterUnresponsiveCall, afterFailure);

    internal static void RecordPhase(string name, string model, TimeSpan time) =>
        _phases.Record(
            time.TotalSeconds, new KeyValuePair<string, object?>("phase", name), new KeyValuePair<string, object?>("model", model));

    internal static void RecordJobEnd(string model, string outcome) =>
        _jobs.Add(1, new KeyValuePair<string, object?>("model", model), new KeyValuePair<string, object?>("outcome", outcome));
}
