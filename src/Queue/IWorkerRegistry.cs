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

    /// <summary>What the gateway tells clients of a model and validates programs against. Kept until it is described again or forgotten.</summary>
    /// <remarks>It is found by its id, and by its id with its revision.</remarks>
    Task DescribeAsync(ModelDescription model, CancellationToken cancellationToken = default);

    /// <summary>The same, found by these names.</summary>
    Task DescribeAsync(ModelDescription model, IReadOnlyCollection<string> names, CancellationToken cancellationToken = default);

    /// <summary>Forgets what a name was described as: jobs for it are refused from now on.</summary>
    Task ForgetAsync(string name, CancellationToken cancellationToken = default);

    Task<ModelDescription?> DescriptionAsync(string model, CancellationToken cancellationToken = default);
}
