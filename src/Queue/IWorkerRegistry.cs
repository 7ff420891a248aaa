using Ndif.Protocol;

namespace Ndif.Queue;

/// <summary>Which workers live and which models they serve. An entry that is not announced again vanishes within seconds.</summary>
public interface IWorkerRegistry
{
    /// <summary>A worker's heartbeat.</summary>
    Task AnnounceAsync(WorkerStatus worker, IReadOnlyList<ModelStatus> models, CancellationToken cancellationToken = default);

    Task LeaveAsync(string worker, CancellationToken cancellationToken = default);

    Task<IReadOnlyList<WorkerStatus>> WorkersAsync(CancellationToken cancellationToken = default);

    /// <summary>The models that living workers serve, hottest first, replicas counted.</summary>
    Task<IReadOnlyList<ModelStatus>> ModelsAsync(CancellationToken cancellationToken = default);

    /// <summary>What the gateway tells clients of a model and validates programs against. Kept until it is described again.</summary>
    Task DescribeAsync(ModelDescription model, CancellationToken cancellationToken = default);

    Task<ModelDescription?> DescriptionAsync(string model, CancellationToken cancellationToken = default);
}
