using System.Reflection;
using System.Text.Json;
using Google.Protobuf.WellKnownTypes;
using Ndif.Protocol;
using Ndif.Queue;

namespace Ndif.Server.Monitoring;

/// <summary>
/// Reads the public status of the service, without job ids and owners. The status is cached for a fraction of a second, so that many
/// callers do not load the queue.
/// </summary>
internal sealed class ServiceStatusReader
{
    private static readonly TimeSpan _lifetime = TimeSpan.FromMilliseconds(200);

    private readonly IJobQueue _jobs;
    private readonly IWorkerRegistry _workers;
    private readonly IDeployments _deployments;
    private readonly GatewayOptions _options;
    private readonly TimeProvider _time;
    private readonly Timestamp _started;
    private readonly SharedRead<(ServiceStatus Status, byte[] Json)> _read;

    public ServiceStatusReader(
        IJobQueue jobs, IWorkerRegistry workers, IDeployments deployments, GatewayOptions options, TimeProvider time)
    {
        (_jobs, _workers, _deployments, _options, _time) = (jobs, workers, deployments, options, time);
        _started = Timestamp.FromDateTimeOffset(time.GetUtcNow());
        _read = new(ReadUncachedAsync, _lifetime, time);
    }

    public static string Version { get; } =
        typeof(ServiceStatusReader).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion.Split('+')[0]
            ?? "";

    public async Task<ServiceStatus> ReadAsync(CancellationToken cancellationToken = default) =>
        (await _read.GetAsync(cancellationToken)).Status.Clone();

    /// <summary>Returns the status as the UTF-8 text of a <see cref="StatusJson"/>.</summary>
    public async Task<byte[]> ReadJsonAsync(CancellationToken cancellationToken) => (await _read.GetAsync(cancellationToken)).Json;

    /// <summary>Returns false for a model that is deployed, or has waiting jobs, but that no live worker reports.</summary>
    public static bool IsServed(ModelStatus model) => model.Heat != Heat.Unspecified;

    private async Task<(ServiceStatus Status, byte[] Json)> ReadUncachedAsync()
    {
        ServiceStatus status = await ReadStatusAsync();
        var json = StatusJson.Of(status, _time.GetUtcNow());
        return (status, JsonSerializer.SerializeToUtf8Bytes(json, StatusJsonContext.Default.StatusJson));
    }

    private async Task<ServiceStatus> ReadStatusAsync()
    {
        QueueCounts counts = await _jobs.CountAsync();
        List<ModelStatus> models = WithDeployments(await _workers.ListModelsAsync(), await _deployments.ListAsync());
        var status = new ServiceStatus
        {
            Version = Version,
            Started = _started,
            Waiting = (uint)counts.Waiting,
            Running = (uint)counts.Running,
            Completed = (ulong)counts.Completed,
            Failed = (ulong)counts.Failed,
            Cancelled = (ulong)counts.Cancelled,
            TimedOut = (ulong)counts.TimedOut,
            Storage = _options.DescribeStorage(await _jobs.Storage.GetAsync(""), tier: null),
        };
        var unserved = new Dictionary<string, (int Waiting, int Running)>(counts.ByModel);
        foreach (ModelStatus model in models)
        {
            model.Waiting = model.Running = 0; // the counts of the queue are exact, those of the heartbeats are not
            foreach (string name in ModelNames.GetNames(model.Id, model.Revision))
            {
                (int waiting, int running) = counts.ByModel.GetValueOrDefault(name);
                model.Waiting += (uint)waiting;
                model.Running += (uint)running;
                unserved.Remove(name);
            }
            if (model.Error is { } error) model.Error = ServerPaths.Remove(error);
            status.Models.Add(model);
        }
        foreach ((string name, (int waiting, int running)) in unserved.Where(model => model.Value.Waiting + model.Value.Running > 0))
            status.Models.Add(new ModelStatus { Id = name, Waiting = (uint)waiting, Running = (uint)running });
        foreach (WorkerStatus worker in await _workers.ListWorkersAsync()) status.Workers.Add(WithoutJobIds(worker));
        status.Problems.AddRange(ServiceNotices.GetProblems(status));
        return status;
    }

    /// <summary>Adds the deployments to the models of the workers. Includes deployments that no worker reports yet.</summary>
    public static List<ModelStatus> WithDeployments(IReadOnlyList<ModelStatus> models, IReadOnlyList<Deployment> deployments)
    {
        List<ModelStatus> all = [.. models.Select(m => m.Clone())];
        foreach (Deployment deployment in deployments)
        {
            ModelStatus? model = all.Find(status =>
                status.Id == deployment.Model && (deployment.Revision.Length == 0 || deployment.Revision == status.Revision));
            if (model is null)
                all.Add(model = new ModelStatus { Id = deployment.Model, Revision = deployment.Revision, Dtype = deployment.Dtype });
            (model.Wanted, model.Pinned) = (deployment.Replicas, model.Pinned || deployment.Pinned);
        }
        return all;
    }

    /// <summary>Replaces the job ids of a worker with empty strings: their number is public, the ids are not.</summary>
    private static WorkerStatus WithoutJobIds(WorkerStatus worker)
    {
        int running = worker.Jobs.Count;
        WorkerStatus anonymized = worker.Clone();
        anonymized.Jobs.Clear();
        anonymized.Jobs.Add(Enumerable.Repeat("", running));
        return anonymized;
    }
}
