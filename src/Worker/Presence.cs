using Google.Protobuf.WellKnownTypes;
using Microsoft.Extensions.Logging;
using Ndif.Protocol;
using Ndif.Queue;

namespace Ndif.Worker;

/// <summary>Tells the service that this worker lives, what it holds and what it could hold.</summary>
internal sealed class Presence(WorkerOptions options, QueueBackend backend, Residents residents, RunningJobs jobs, ILogger log, TimeProvider time)
{
    private readonly Timestamp _started = time.GetUtcNow().ToTimestamp();

    /// <summary>Models that are wanted of it and not here.</summary>
    public IReadOnlyList<WantedModel> Absent { get; set; } = [];

    /// <summary>It takes nothing new.</summary>
    public bool IsDraining { get; set; }

    /// <summary>Now and again until it is told to stop.</summary>
    public async Task BeatAsync(CancellationToken stopping)
    {
        while (!stopping.IsCancellationRequested)
        {
            await Task.Delay(options.Heartbeat, time, stopping).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            if (!stopping.IsCancellationRequested) await TryAnnounceAsync();
        }
    }

    /// <summary>As it is now; if the queue cannot be reached, the next heartbeat tells it.</summary>
    public async Task TryAnnounceAsync()
    {
        try
        {
            await AnnounceAsync();
        }
        catch (NdifException e) when (e.Retryable)
        {
            Log.QueueUnreachable(log, e.Message);
        }
    }

    public Task AnnounceAsync(CancellationToken cancellationToken = default)
    {
        var worker = new WorkerStatus
        {
            Id = options.Id, Device = options.Device, MemoryBytes = (ulong)Environment.WorkingSet, Started = _started, Seen = time.GetUtcNow().ToTimestamp(),
            Version = typeof(ModelWorker).Assembly.GetName().Version?.ToString(3) ?? "", Draining = IsDraining,
            BudgetBytes = options.Budget is long.MaxValue ? 0 : (ulong)options.Budget, WeightBytes = (ulong)residents.Bytes,
            Models = { residents.Hot.Select(s => s.Host.Id) }, Warm = { residents.Warm.Select(h => h.Name) }, Jobs = { jobs.Ids },
        };
        DateTimeOffset now = time.GetUtcNow();
        List<ModelStatus> models = [.. residents.Statuses()];
        models.AddRange(Absent.Select(w => w.Status(residents.IsComing(w.Name), now)).Where(s => !models.Exists(m => m.Id == s.Id && m.Revision == s.Revision)));
        return backend.Workers.AnnounceAsync(worker, models, cancellationToken);
    }

    public async Task LeaveAsync()
    {
        try
        {
            await backend.Workers.LeaveAsync(options.Id);
        }
        catch (NdifException)
        {
            // the entry vanishes by itself
        }
    }
}
