using Google.Protobuf.WellKnownTypes;
using Ndif.Protocol;
using Ndif.Queue.Rules;

namespace Ndif.Queue.Memory;

/// <summary>The workers of a service that runs in a single process.</summary>
public sealed class InMemoryWorkerRegistry : IWorkerRegistry
{
    private readonly QueueOptions _options;
    private readonly TimeProvider _time;
    private readonly Lock _lock = new();
    private readonly Dictionary<string, WorkerHeartbeat> _heartbeats = [];
    private readonly Dictionary<string, ModelDescription> _descriptions = [];

    public InMemoryWorkerRegistry(QueueOptions? options = null, TimeProvider? time = null)
    {
        _options = (options ?? new QueueOptions()).Validate();
        _time = time ?? TimeProvider.System;
    }

    /// <inheritdoc/>
    public Task<IReadOnlyList<string>> PublishHeartbeatAsync(
        WorkerStatus worker, IReadOnlyList<ModelStatus> models, CancellationToken cancellationToken = default)
    {
        WorkerStatus seen = worker.Clone();
        seen.Seen = _time.GetUtcNow().ToTimestamp();
        lock (_lock) _heartbeats[worker.Id] = new WorkerHeartbeat(seen, [.. models.Select(m => m.Clone())]);
        HashSet<string> others = [.. GetLiveHeartbeats().Select(heartbeat => heartbeat.Worker)
            .Where(other => other.Id != worker.Id && !other.Draining).SelectMany(other => other.Models)];
        return Task.FromResult<IReadOnlyList<string>>([.. worker.Models.Where(others.Contains)]);
    }

    /// <inheritdoc/>
    public Task UnregisterAsync(string worker, CancellationToken cancellationToken = default)
    {
        lock (_lock) _heartbeats.Remove(worker);
        return Task.CompletedTask;
    }

    /// <inheritdoc/>
    public Task<IReadOnlyList<WorkerStatus>> ListWorkersAsync(CancellationToken cancellationToken = default) =>
        Task.FromResult(WorkerHeartbeat.ListWorkers(GetLiveHeartbeats()));

    /// <inheritdoc/>
    public Task<IReadOnlyList<ModelStatus>> ListModelsAsync(CancellationToken cancellationToken = default) =>
        Task.FromResult(WorkerHeartbeat.MergeModels(GetLiveHeartbeats()));

    /// <inheritdoc/>
    public Task SetDescriptionAsync(ModelDescription model, CancellationToken cancellationToken = default) =>
        SetDescriptionAsync(model, ModelNames.GetNames(model.Id, model.Revision), cancellationToken);

    /// <inheritdoc/>
    public Task SetDescriptionAsync(
        ModelDescription model, IReadOnlyCollection<string> names, CancellationToken cancellationToken = default)
    {
        lock (_lock)
        {
            foreach (string name in names) _descriptions[name] = model.Clone();
        }
        return Task.CompletedTask;
    }

    /// <inheritdoc/>
    public Task RemoveDescriptionAsync(string name, CancellationToken cancellationToken = default)
    {
        lock (_lock) _descriptions.Remove(name);
        return Task.CompletedTask;
    }

    /// <inheritdoc/>
    public Task<ModelDescription?> GetDescriptionAsync(string model, CancellationToken cancellationToken = default)
    {
        lock (_lock) return Task.FromResult(_descriptions.GetValueOrDefault(model)?.Clone());
    }

    private List<WorkerHeartbeat> GetLiveHeartbeats()
    {
        DateTimeOffset oldest = _time.GetUtcNow() - _options.HeartbeatLifetime;
        lock (_lock)
        {
            string[] expired = [.. _heartbeats.Where(h => h.Value.Worker.Seen.ToDateTimeOffset() <= oldest).Select(h => h.Key)];
            foreach (string worker in expired) _heartbeats.Remove(worker);
            return [.. _heartbeats.Values];
        }
    }
}
