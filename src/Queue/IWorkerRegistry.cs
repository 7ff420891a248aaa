using Ndif.Protocol;

namespace Ndif.Queue;

/// <summary>Which workers live and which models they serve. An entry that is not announced again vanishes within seconds.</summary>
public interface IWorkerRegistry
{
    /// <summary>A worker's heartbeat.</summary>
    Task PublishHeartbeatAsync(WorkerStatus worker, IReadOnlyList<ModelStatus> models, CancellationToken cancellationToken = default);

    Task UnregisterAsync(string worker, CancellationToken cancellationToken = default);

    Task<IReadOnlyList<WorkerStatus>> ListWorkersAsync(CancellationToken cancellationToken = default);

    /// <summary>The models that living workers serve, hottest first, replicas counted.</summary>
    Task<IReadOnlyList<ModelStatus>> ListModelsAsync(CancellationToken cancellationToken = default);

    /// <summary>What the gateway tells clients of a model and validates programs against. Kept until it is described again or forgotten.</summary>
    /// <remarks>It is found by its id, and by its id with its revision.</remarks>
    Task SetDescriptionAsync(ModelDescription model, CancellationToken cancellationToken = default);

    /// <summary>The same, found by these names.</summary>
    Task SetDescriptionAsync(ModelDescription model, IReadOnlyCollection<string> names, CancellationToken cancellationToken = default);

    /// <summary>Forgets what a name was described as: jobs for it are refused from now on.</summary>
    Task RemoveDescriptionAsync(string name, CancellationToken cancellationToken = default);

    Task<ModelDescription?> GetDescriptionAsync(string model, CancellationToken cancellationToken = default);
}
