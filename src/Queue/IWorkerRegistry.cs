using Ndif.Protocol;

namespace Ndif.Queue;

/// <summary>
/// The workers that are alive, the models they serve, and the descriptions of these models. A worker without a heartbeat disappears
/// within seconds.
/// </summary>
public interface IWorkerRegistry
{
    /// <summary>
    /// Stores a worker's heartbeat. Returns those of the models it serves (<see cref="WorkerStatus.Models"/>) that others serve too which
    /// do not drain; one that has stopped counts for some seconds.
    /// </summary>
    Task<IReadOnlyList<string>> PublishHeartbeatAsync(
        WorkerStatus worker, IReadOnlyList<ModelStatus> models, CancellationToken cancellationToken = default);

    /// <summary>Removes a worker that is shutting down.</summary>
    Task UnregisterAsync(string worker, CancellationToken cancellationToken = default);

    /// <summary>Returns the workers that are alive.</summary>
    Task<IReadOnlyList<WorkerStatus>> ListWorkersAsync(CancellationToken cancellationToken = default);

    /// <summary>Returns the models of all live workers with their replicas counted: loaded models first.</summary>
    Task<IReadOnlyList<ModelStatus>> ListModelsAsync(CancellationToken cancellationToken = default);

    /// <summary>
    /// Stores the description of a model, which the gateway returns to clients and validates programs against. It is kept until it is
    /// replaced or removed, and is found by the model's id and by "id@revision".
    /// </summary>
    Task SetDescriptionAsync(ModelDescription model, CancellationToken cancellationToken = default);

    /// <summary>Stores the description of a model under these names.</summary>
    Task SetDescriptionAsync(ModelDescription model, IReadOnlyCollection<string> names, CancellationToken cancellationToken = default);

    /// <summary>Removes the description under this name. The gateway then refuses jobs for it.</summary>
    Task RemoveDescriptionAsync(string name, CancellationToken cancellationToken = default);

    /// <summary>Returns the description of a model, or null.</summary>
    Task<ModelDescription?> GetDescriptionAsync(string model, CancellationToken cancellationToken = default);
}
