using Google.Protobuf.WellKnownTypes;
using Microsoft.Extensions.Logging;
using Ndif.Protocol;
using Ndif.Queue;
using Ndif.Worker.Deployments;
using Ndif.Worker.Residency;
using Ndif.Worker.Serving;

namespace Ndif.Worker;

/// <summary>
/// Publishes the heartbeat of this worker: its state, the models it holds, and the deployments it has not loaded. The answer says which of
/// its models other workers serve too.
/// </summary>
internal sealed class HeartbeatPublisher(
    WorkerOptions options, QueueBackend backend, ModelResidency residency, LeasedJobs jobs, ILogger logger, TimeProvider time)
{
    private readonly FailureBackoff _failures = new("heartbeat", logger, time);
    private readonly Timestamp _started = time.GetUtcNow().ToTimestamp();

    /// <summary>The deployments that this worker knows. Those that are not loaded are reported as cold.</summary>
    public IReadOnlyList<DesiredModel> Deployments { get; set; } = [];

    /// <summary>True when the worker accepts no new jobs.</summary>
    public bool IsDraining { get; set; }

    /// <summary>Publishes a heartbeat at every interval until it is stopped.</summary>
    public async Task RunAsync(CancellationToken stopping)
    {
        while (!stopping.IsCancellationRequested)
        {
            await Task.Delay(options.HeartbeatInterval, time, stopping).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            if (!stopping.IsCancellationRequested) await TryPublishAsync();
        }
    }

    /// <summary>Publishes the current state. If that fails, the next heartbeat publishes it.</summary>
    public async Task TryPublishAsync()
    {
        try
        {
            await PublishAsync();
            _failures.Succeeded();
        }
        catch (Exception e)
        {
            _failures.Failed(e);
        }
    }

    public async Task PublishAsync(CancellationToken cancellationToken = default)
    {
        var worker = new WorkerStatus
        {
            Id = options.Id, Device = options.Device, MemoryBytes = (ulong)Environment.WorkingSet, Started = _started,
            Seen = time.GetUtcNow().ToTimestamp(),
            Version = typeof(ModelWorker).Assembly.GetName().Version?.ToString(3) ?? "", Draining = IsDraining,
            BudgetBytes = options.WeightBudget is long.MaxValue ? 0 : (ulong)options.WeightBudget, WeightBytes = (ulong)residency.Bytes,
            Models = { residency.OnDevice.Select(loop => loop.Host.Id) }, Warm = { residency.Offloaded.Select(host => host.Name) },
            Jobs = { jobs.Ids },
            WallSeconds = options.WallTime.TotalSeconds,
            JobMemoryBytes = ToLimit(options.JobMemoryBudget), CacheMemoryBytes = ToLimit(options.MostCacheMemoryOfOwner),
        };
        DateTimeOffset now = time.GetUtcNow();
        List<ModelStatus> models = [.. residency.GetStatuses()];
        models.AddRange(Deployments.Select(model => model.ToStatus(residency.IsLoading(model.Name), now))
            .Where(status => !models.Exists(loaded => loaded.Id == status.Id && loaded.Revision == status.Revision)));
        IReadOnlyList<string> shared = await backend.Workers.PublishHeartbeatAsync(worker, models, cancellationToken);
        foreach (JobServingLoop loop in residency.OnDevice) loop.Host.HasOtherReplicas = shared.Contains(loop.Host.Id);
    }

    private static ulong ToLimit(long bytes) => bytes is long.MaxValue ? 0 : (ulong)bytes;

    public async Task UnregisterAsync()
    {
        try
        {
            await backend.Workers.UnregisterAsync(options.Id);
        }
        catch (Exception e)
        {
            _failures.Failed(e); // the entry expires by itself
        }
    }
}
