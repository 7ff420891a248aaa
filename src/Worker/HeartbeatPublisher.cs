using Google.Protobuf.WellKnownTypes;
using Microsoft.Extensions.Logging;
using Ndif.Protocol;
using Ndif.Queue;
using Ndif.Worker.Deployments;
using Ndif.Worker.Residency;
using Ndif.Worker.Serving;

namespace Ndif.Worker;

/// <summary>Tells the service that this worker lives, what it holds and what it could hold.</summary>
internal sealed class HeartbeatPublisher(WorkerOptions options, QueueBackend backend, ModelResidency residency, LeasedJobs jobs, ILogger logger, TimeProvider time)
{
    private readonly Timestamp _started = time.GetUtcNow().ToTimestamp();

    /// <summary>Models that are wanted of it and not here.</summary>
    public IReadOnlyList<DesiredModel> NotLoaded { get; set; } = [];

    /// <summary>It takes nothing new.</summary>
    public bool IsDraining { get; set; }

    /// <summary>Now and again until it is told to stop.</summary>
    public async Task RunAsync(CancellationToken stopping)
    {
        while (!stopping.IsCancellationRequested)
        {
            await Task.Delay(options.Heartbeat, time, stopping).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            if (!stopping.IsCancellationRequested) await TryPublishAsync();
        }
    }

    /// <summary>As it is now; if the queue cannot be reached, the next heartbeat tells it.</summary>
    public async Task TryPublishAsync()
    {
        try
        {
            await PublishAsync();
        }
        catch (NdifException e) when (e.Retryable)
        {
            Log.QueueUnreachable(logger, e.Message);
        }
    }

    public Task PublishAsync(CancellationToken cancellationToken = default)
    {
        var worker = new WorkerStatus
        {
            Id = options.Id, Device = options.Device, MemoryBytes = (ulong)Environment.WorkingSet, Started = _started, Seen = time.GetUtcNow().ToTimestamp(),
            Version = typeof(ModelWorker).Assembly.GetName().Version?.ToString(3) ?? "", Draining = IsDraining,
            BudgetBytes = options.WeightBudget is long.MaxValue ? 0 : (ulong)options.WeightBudget, WeightBytes = (ulong)residency.Bytes,
            Models = { residency.OnDevice.Select(s => s.Host.Id) }, Warm = { residency.Offloaded.Select(h => h.Name) }, Jobs = { jobs.Ids },
        };
        DateTimeOffset now = time.GetUtcNow();
        List<ModelStatus> models = [.. residency.GetStatuses()];
        models.AddRange(NotLoaded.Select(w => w.ToStatus(residency.IsLoading(w.Name), now)).Where(s => !models.Exists(m => m.Id == s.Id && m.Revision == s.Revision)));
        return backend.Workers.PublishHeartbeatAsync(worker, models, cancellationToken);
    }

    public async Task UnregisterAsync()
    {
        try
        {
            await backend.Workers.UnregisterAsync(options.Id);
        }
        catch (NdifException)
        {
            // the entry vanishes by itself
        }
    }
}
