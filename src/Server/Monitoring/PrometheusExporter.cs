using Prometheus;

namespace Ndif.Server.Monitoring;

/// <summary>Exports the `Ndif.*` meters of this process to Prometheus.</summary>
internal static class PrometheusExporter
{
    public static IDisposable StartListening(CollectorRegistry registry, MetricFactory metrics)
    {
        DotNetStats.Register(registry); // process_*: memory, processor time, threads, open files
        return MeterAdapter.StartListening(new MeterAdapterOptions
        {
            Registry = registry,
            MetricFactory = metrics, // without it, prometheus-net 8.2 uses the process-wide registry
            MetricsExpireAfter = TimeSpan.FromDays(1), // a counter that disappears after five minutes (the default) looks like a restart
            InstrumentFilterPredicate = instrument => instrument.Meter.Name.StartsWith("Ndif.", StringComparison.Ordinal),
            ResolveHistogramBuckets = _ => Histogram.PowersOfTenDividedBuckets(-4, 3, 4), // 0.1 ms to 1000 s
        });
    }
}
