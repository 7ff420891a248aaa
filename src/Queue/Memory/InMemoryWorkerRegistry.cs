using Google.Protobuf.WellKnownTypes;
using Ndif.Protocol;

namespace Ndif.Queue;

/// <summary>The workers of a service that is one process.</summary>
public sealed class InMemoryWorkerRegistry : IWorkerRegistry
{
    private readonly QueueOptions options;
    private readonly TimeProvider time;
    private readonly Lock gate = new();
    private readonly Dictionary<string, Announcement> announcements = [];
    private readonly Dictionary<string, ModelDescription> descriptions = [];

    public InMemoryWorkerRegistry(QueueOptions? options = null, TimeProvider? time = null)
    {
        this.options = (options ?? new QueueOptions()).Validate();
        this.time = time ?? TimeProvider.System;
    }

    /// <inheritdoc/>
    public Task AnnounceAsync(WorkerStatus worker, IReadOnlyList<ModelStatus> models, CancellationToken cancellationToken = default)
    {
        WorkerStatus seen = worker.Clone();
        seen.Seen = time.GetUtcNow().ToTimestamp();
        lock (gate) announcements[worker.Id] = new Announcement(seen, [.. models.Select(m => m.Clone())]);
        return Task.CompletedTask;
    }

    /// <inheritdoc/>
    public Task LeaveAsync(string worker, CancellationToken cancellationToken = default)
    {
        lock (gate) announcements.Remove(worker);
        return Task.CompletedTask;
    }

    /// <inheritdoc/>
    public Task<IReadOnlyList<WorkerStatus>> WorkersAsync(CancellationToken cancellationToken = default) =>
        Task.FromResult(Announcement.Workers(Living()));

    /// <inheritdoc/>
    public Task<IReadOnlyList<ModelStatus>> ModelsAsync(CancellationToken cancellationToken = default) =>
        Task.FromResult(Announcement.Merge(Living()));

    /// <inheritdoc/>
    public Task DescribeAsync(ModelDescription model, CancellationToken cancellationToken = default) =>
        DescribeAsync(model, [.. Announcement.NamesOf(model)], cancellationToken);

    /// <inheritdoc/>
    public Task DescribeAsync(ModelDescription model, IReadOnlyCollection<string> names, CancellationToken cancellationToken = default)
    {
        lock (gate)
        {
            foreach (string name in names) descriptions[name] = model.Clone();
        }
        return Task.CompletedTask;
    }

    /// <inheritdoc/>
    public Task ForgetAsync(string name, CancellationToken cancellationToken = default)
    {
        lock (gate) descriptions.Remove(name);
        return Task.CompletedTask;
    }

    /// <inheritdoc/>
    public Task<ModelDescription?> DescriptionAsync(string model, CancellationToken cancellationToken = default)
    {
        lock (gate) return Task.FromResult(descriptions.GetValueOrDefault(model)?.Clone());
    }

    private List<Announcement> Living()
    {
        DateTimeOffset oldest = time.GetUtcNow() - options.HeartbeatLifetime;
        lock (gate)
        {
            foreach (string gone in announcements.Where(a => a.Value.Worker.Seen.ToDateTimeOffset() <= oldest).Select(a => a.Key).ToArray())
                announcements.Remove(gone);
            return [.. announcements.Values];
        }
    }
}
