using Ndif.Protocol;
using Prometheus;

namespace Ndif.Server.Monitoring;

/// <summary>
/// Exports the gauges of the queue, which are the same at every gateway. While the queue cannot be read, none is reported: an old value
/// would look like a current one.
/// </summary>
internal sealed class QueueMetrics
{
    private readonly ServiceStatusReader _statusReader;
    private readonly Gauge _waiting, _running, _withoutWorker, _replicas, _workers, _stored, _storedLimit;
    private readonly Counter _jobs;

    public QueueMetrics(CollectorRegistry registry, MetricFactory metrics, ServiceStatusReader statusReader)
    {
        _statusReader = statusReader;
        _waiting = metrics.CreateGauge("ndif_queue_waiting", "Jobs that wait, by model.", ["model"]);
        _running = metrics.CreateGauge("ndif_queue_running", "Jobs that run, by model.", ["model"]);
        _withoutWorker = metrics.CreateGauge(
            "ndif_queue_unserved", "Jobs that wait, and no live worker serves their model.", ["model"]);
        _replicas = metrics.CreateGauge("ndif_model_replicas", "Workers that hold the model ready.", ["model"]);
        _workers = metrics.CreateGauge(
            "ndif_workers", "Workers that are alive.", new GaugeConfiguration { SuppressInitialValue = true });
        _stored = metrics.CreateGauge("ndif_stored_bytes", "Bytes that all keys store, in the queue and as blobs.", ["kind"]);
        _storedLimit = metrics.CreateGauge("ndif_stored_bytes_limit", "The most that all keys may store.", ["kind"]);
        _jobs = metrics.CreateCounter("ndif_jobs_total", "Jobs that have ended, by outcome.", ["outcome"]);
        registry.AddBeforeCollectCallback(UpdateAsync);
    }

    private async Task UpdateAsync(CancellationToken cancellationToken)
    {
        ServiceStatus status;
        try
        {
            status = await _statusReader.ReadAsync(cancellationToken);
        }
        catch (NdifException)
        {
            foreach (Gauge gauge in (Gauge[])[_waiting, _running, _withoutWorker, _replicas, _stored, _storedLimit])
                foreach (string[] labels in gauge.GetAllLabelValues().ToArray()) gauge.RemoveLabelled(labels);
            _workers.Unpublish();
            return;
        }
        string[][] removedModels =
            [.. _waiting.GetAllLabelValues().Where(labels => !status.Models.Any(model => model.Id == labels[0]))];
        foreach (string[] removed in removedModels)
            foreach (Gauge gauge in (Gauge[])[_waiting, _running, _withoutWorker, _replicas]) gauge.RemoveLabelled(removed);
        foreach (IGrouping<string, ModelStatus> model in status.Models.GroupBy(model => model.Id))
        {
            _waiting.WithLabels(model.Key).Set(model.Max(m => m.Waiting));
            _running.WithLabels(model.Key).Set(model.Max(m => m.Running));
            _withoutWorker.WithLabels(model.Key).Set(model.Max(m => ServiceNotices.CountWithoutWorker(status, m)));
            _replicas.WithLabels(model.Key).Set(model.Sum(m => m.Replicas));
        }
        _workers.Set(status.Workers.Count);
        _stored.WithLabels("queue").Set(status.Storage.QueueBytes);
        _stored.WithLabels("blobs").Set(status.Storage.BlobBytes);
        _storedLimit.WithLabels("queue").Set(status.Storage.QueueBytesLimit);
        _storedLimit.WithLabels("blobs").Set(status.Storage.BlobBytesLimit);
        _jobs.WithLabels("completed").IncTo(status.Completed);
        _jobs.WithLabels("failed").IncTo(status.Failed - status.TimedOut);
        _jobs.WithLabels("timed_out").IncTo(status.TimedOut);
        _jobs.WithLabels("cancelled").IncTo(status.Cancelled);
    }
}
