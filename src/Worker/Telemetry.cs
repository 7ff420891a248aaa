using System.Diagnostics;
using System.Diagnostics.Metrics;

namespace Ndif.Worker;

/// <summary>What a worker can be watched by. Add the source and the meter by <see cref="Name"/>.</summary>
public static class Telemetry
{
    public const string Name = "Ndif.Worker";

    internal static ActivitySource Source { get; } = new(Name);

    private static readonly Meter Meter = new(Name);
    private static readonly Histogram<double> Phases = Meter.CreateHistogram<double>("ndif.job.phase_seconds", "s", "Parts of a job's time, by phase and model");
    private static readonly Counter<long> Jobs = Meter.CreateCounter<long>("ndif.worker.jobs", "{job}", "Jobs ended here, by model and outcome");

    internal static void Phase(string name, string model, TimeSpan time) =>
        Phases.Record(time.TotalSeconds, new KeyValuePair<string, object?>("phase", name), new KeyValuePair<string, object?>("model", model));

    internal static void Ended(string model, string outcome) =>
        Jobs.Add(1, new KeyValuePair<string, object?>("model", model), new KeyValuePair<string, object?>("outcome", outcome));
}
