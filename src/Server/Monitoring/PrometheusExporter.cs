using Prometheus;

namespace Ndif.Server.Monitoring;

/// <summary>This process's `Ndif.*` meters as Prometheus reads them.</summary>
public static class PrometheusExporter
{
    /// <summary>A metrics page of its own, for a process that has no gateway: `http://host:port/metrics`.</summary>
    /// <param name="host">An address of this machine, or "+" for all of them.</param>
    public static IDisposable StartServer(string host, int port)
    {
        CollectorRegistry registry = Prometheus.Metrics.NewCustomRegistry();
        IDisposable meters = StartListening(registry, Prometheus.Metrics.WithCustomRegistry(registry));
        return new MetricsServer(new KestrelMetricServer(host, port, registry: registry).Start(), meters);
    }

    internal static IDisposable StartListening(CollectorRegistry registry, MetricFactory metrics) => MeterAdapter.StartListening(new MeterAdapterOptions
    {
        Registry = registry,
        MetricFactory = metrics,                   // without it 8.2 writes into the process-wide registry
        MetricsExpireAfter = TimeSpan.FromDays(1), // a counter that vanishes after five quiet minutes looks like a restart
        InstrumentFilterPredicate = instrument => instrument.Meter.Name.StartsWith("Ndif.", StringComparison.Ordinal),
        ResolveHistogramBuckets = _ => Histogram.PowersOfTenDividedBuckets(-4, 3, 4), // 0.1 ms to 1000 s
    });

    private sealed class MetricsServer(IMetricServer server, IDisposable meters) : IDisposable
    {
        public void Dispose()
        {
            server.Stop();
            meters.Dispose();
        }
    }
}
