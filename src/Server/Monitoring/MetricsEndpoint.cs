using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Routing;
using Ndif.Queue;
using Ndif.Queue.Redis;
using Ndif.Server.Keys;
using Prometheus;

namespace Ndif.Server.Monitoring;

/// <summary>
/// Serves `/metrics` for Prometheus: the `Ndif.*` meters of this process (<see cref="Telemetry"/>; in an embedded service also those of the
/// worker), the gauges of the queue, of Redis and of the disk.
/// </summary>
internal sealed class MetricsEndpoint : IDisposable
{
    private readonly CollectorRegistry _registry = Prometheus.Metrics.NewCustomRegistry();
    private readonly IDisposable _meters;
    private readonly TimeProvider _time;

    public MetricsEndpoint(ServiceStatusReader statusReader, QueueBackend backend, TimeProvider time)
    {
        _time = time;
        MetricFactory metrics = Prometheus.Metrics.WithCustomRegistry(_registry);
        _meters = PrometheusExporter.StartListening(_registry, metrics);
        _ = new QueueMetrics(_registry, metrics, statusReader);
        if (backend.Connection is { } connection) _ = new RedisMetrics(_registry, metrics, new RedisMonitor(connection));
        if (backend.BlobFolder is { } folder)
            _ = new DiskMetrics(_registry, metrics, new Dictionary<string, string> { ["blobs"] = folder });
    }

    public void Map(IEndpointRouteBuilder routes) =>
        PrometheusEndpoint.Map(routes, _registry, _time).WithMetadata(new AllowWithoutKeyAttribute());

    public void Dispose() => _meters.Dispose();
}
