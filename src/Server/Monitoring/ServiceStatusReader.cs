using System.Reflection;
using Google.Protobuf.WellKnownTypes;
using Ndif.Protocol;
using Ndif.Queue;

namespace Ndif.Server.Monitoring;

/// <summary>
/// The state of the service as anyone may see it: no job ids, no owners. Read from the queue and the workers at most a few times a
/// second, however many ask.
/// </summary>
internal sealed class ServiceStatusReader(IJobQueue jobs, IWorkerRegistry workers, IDeployments deployments, TimeProvider time)
{
    private static readonly TimeSpan _cacheDuration = TimeSpan.FromMilliseconds(200);

    private readonly Timestamp _started = Timestamp.FromDateTimeOffset(time.GetUtcNow());
    private readonly Lock _lock = new();
    private Task<ServiceStatus>? _cachedRead;
    private long _cachedReadTimestamp;

    public static string Version { get; } =
        typeof(ServiceStatusReader).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion.Split('+')[0] ?? "";

    public async Task<ServiceStatus> ReadAsync(CancellationToken cancellationToken = default)
    {
        Task<ServiceStatus> shared;
        lock (_lock)
        {
            if (_cachedRead is null || (_cachedRead.IsCompleted && (!_cachedRead.IsCompletedSuccessfully || time.GetElapsedTime(_cachedReadTimestamp) >= _cacheDuration)))
            {
                _cachedReadTimestamp = time.GetTimestamp();
                _cachedRead = ReadUncachedAsync(CancellationToken.None); // for everyone who asks meanwhile: no one's cancellation ends it
            }
            shared = _cachedRead;
        }
        return (await shared.WaitAsync(cancellationToken)).Clone();
    }

    /// <summary>False for a model that is deployed, or that jobs wait for, while no living worker knows it.</summary>
    public static bool IsServed(ModelStatus model) => model.Heat != Heat.Unspecified;

    private async Task<ServiceStatus> ReadUncachedAsync(CancellationToken cancellationToken)
    {
        QueueCounts counts = await jobs.CountAsync(cancellationToken);
        List<ModelStatus> models = WithDeployments(await workers.ListModelsAsync(cancellationToken), await deployments.ListAsync(cancellationToken));
        var status = new ServiceStatus
        {
            Version = Version,
            Started = _started,
            Waiting = (uint)counts.Waiting,
            Running = (uint)counts.Running,
            Completed = (ulong)counts.Completed,
            Failed = (ulong)counts.Failed,
        };
        var unserved = new Dictionary<string, (int Waiting, int Running)>(counts.ByModel);
        foreach (ModelStatus model in models)
        {
            model.Waiting = model.Running = 0; // the queue knows it better than the heartbeats
            foreach (string name in ModelNames.GetNames(model.Id, model.Revision))
            {
                (int waiting, int running) = counts.ByModel.GetValueOrDefault(name);
                model.Waiting += (uint)waiting;
                model.Running += (uint)running;
                unserved.Remove(name);
            }
            status.Models.Add(model);
        }
        foreach ((string name, (int waiting, int running)) in unserved.Where(model => model.Value.Waiting + model.Value.Running > 0))
            status.Models.Add(new ModelStatus { Id = name, Waiting = (uint)waiting, Running = (uint)running });
        foreach (WorkerStatus worker in await workers.ListWorkersAsync(cancellationToken)) status.Workers.Add(WithoutJobIds(worker));
        return status;
    }

    /// <summary>Says of each model what is wanted of it; what no worker knows yet is there too.</summary>
    public static List<ModelStatus> WithDeployments(IReadOnlyList<ModelStatus> models, IReadOnlyList<Deployment> deployments)
    {
        List<ModelStatus> all = [.. models.Select(m => m.Clone())];
        foreach (Deployment deployment in deployments)
        {
            ModelStatus? model = all.Find(m => m.Id == deployment.Model && (deployment.Revision.Length == 0 || deployment.Revision == m.Revision));
            if (model is null) all.Add(model = new ModelStatus { Id = deployment.Model, Revision = deployment.Revision, Dtype = deployment.Dtype });
            (model.Wanted, model.Pinned) = (deployment.Replicas, model.Pinned || deployment.Pinned);
        }
        return all;
    }

    /// <summary>How many jobs a worker runs is everyone's to know, which ones is not.</summary>
    private static WorkerStatus WithoutJobIds(WorkerStatus worker)
    {
        int running = worker.Jobs.Count;
        WorkerStatus shown = worker.Clone();
        shown.Jobs.Clear();
        shown.Jobs.Add(Enumerable.Repeat("", running));
        return shown;
    }
}
