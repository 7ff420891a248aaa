using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Routing;
using Ndif.Protocol;
using Ndif.Server.Keys;
using Prometheus;

namespace Ndif.Server.Monitoring;

/// <summary>
/// Serves `/metrics` for Prometheus: the `Ndif.*` meters of this process (<see cref="Telemetry"/>; in an embedded service also those of the
/// worker), and gauges of the queue, which are the same at every gateway.
/// </summary>
internal sealed class MetricsEndpoint : IDisposable
{
    private static readonly string[] _modelLabel = ["model"];
    private static readonly string[] _outcomeLabel = ["outcome"];

    private readonly CollectorRegistry _registry = Prometheus.Metrics.NewCustomRegistry();
    private readonly IDisposable _meters;

    public MetricsEndpoint(ServiceStatusReader statusReader)
    {
        MetricFactory metrics = Prometheus.Metrics.WithCustomRegistry(_registry);
        _meters = PrometheusExporter.StartListening(_registry, metrics);
        Gauge waiting = metrics.CreateGauge("ndif_queue_waiting", "Jobs that wait, by model.", _modelLabel);
        Gauge running = metrics.CreateGauge("ndif_queue_running", "Jobs that run, by model.", _modelLabel);
        Gauge unserved = metrics.CreateGauge("ndif_queue_unserved", "Jobs that wait, and no live worker serves their model.", _modelLabel);
        Gauge replicas = metrics.CreateGauge("ndif_model_replicas", "Workers that hold the model ready.", _modelLabel);
        Gauge workers = metrics.CreateGauge("ndif_workers", "Workers that are alive.");
        Counter jobs = metrics.CreateCounter("ndif_jobs_total", "Jobs that have ended, by outcome.", _outcomeLabel);
        _registry.AddBeforeCollectCallback(async cancel =>
        {
            ServiceStatus status = await statusReader.ReadAsync(cancel);
            string[][] removedModels =
                [.. waiting.GetAllLabelValues().Where(labels => !status.Models.Any(model => model.Id == labels[0]))];
            foreach (string[] removed in removedModels)
                foreach (Gauge gauge in (Gauge[])[waiting, running, unserved, replicas]) gauge.RemoveLabelled(removed);
            foreach (IGrouping<string, ModelStatus> model in status.Models.GroupBy(model => model.Id))
            {
                waiting.WithLabels(model.Key).Set(model.Max(m => m.Waiting));
                running.WithLabels(model.Key).Set(model.Max(m => m.Running));
                unserved.WithLabels(model.Key).Set(model.Max(m => ServiceNotices.CountUnserved(status, m)));
                replicas.WithLabels(model.Key).Set(model.Sum(m => m.Replicas));
            }
            workers.Set(status.Workers.Count);
            jobs.WithLabels("completed").IncTo(status.Completed);
            jobs.WithLabels("failed").IncTo(status.Failed);
        });
    }

    public void Map(IEndpointRouteBuilder routes) => routes.MapMetrics("/metrics", _registry).WithMetadata(new AllowWithoutKeyAttribute());

    public void Dispose() => _meters.Dispose();
}
