using Prometheus;

namespace Ndif.Server.Monitoring;

/// <summary>Exports the `Ndif.*` meters of this process to Prometheus.</summary>
public static class PrometheusExporter
{
    /// <summary>Starts an HTTP server for the metrics of a process without a gateway: `http://host:port/metrics`.</summary>
    /// <param name="host">An address of this machine, or "+" for all addresses.</param>
    public static IDisposable StartServer(string host, int port)
    {
        CollectorRegistry registry = Prometheus.Metrics.NewCustomRegistry();
        IDisposable meters = StartListening(registry, Prometheus.Metrics.WithCustomRegistry(registry));
        return new MetricsServer(new KestrelMetricServer(host, port, registry: registry).Start(), meters);
    }

    internal static IDisposable StartListening(CollectorRegistry registry, MetricFactory metrics)
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

    private sealed class MetricsServer(IMetricServer server, IDisposable meters) : IDisposable
    {
        public void Dispose()
        {
            server.Stop();
            meters.Dispose();
        }
    }
}
