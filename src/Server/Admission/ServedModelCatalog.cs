using Ndif.Protocol;
using Ndif.Queue;
using Ndif.Queue.Rules;

namespace Ndif.Server.Admission;

/// <summary>
/// Which models a job may wait for: those of living workers, those that are deployed (a worker describes them before it loads them),
/// and those that a worker has described before. The last kind matters when all workers are gone for a moment, or scaled to none: jobs
/// wait then, which is what wakes a worker up.
/// </summary>
internal sealed class ServedModelCatalog(IWorkerRegistry workers, IDeployments deployments)
{
    private const int MaxNameLength = 256;

    /// <summary>The name that the queue knows the model by, and what is known of it.</summary>
    /// <exception cref="NdifException">UNKNOWN_MODEL, with the nearest names.</exception>
    public async Task<(string Name, ModelDescription? Description)> FindAsync(ModelRef? model, CancellationToken cancellationToken)
    {
        if (model is null || model.Id.Length is 0 or > MaxNameLength || model.Revision.Length > MaxNameLength) throw ServerErrors.NoModelName();
        string name = model.GetName();
        ModelDescription? description = await workers.GetDescriptionAsync(name, cancellationToken);
        if (description is null && model.Revision.Length > 0
            && await workers.GetDescriptionAsync(model.Id, cancellationToken) is { } any && any.Revision == model.Revision) description = any;
        if (description is not null) return (name, description);
        IReadOnlyList<ModelStatus> served = await workers.ListModelsAsync(cancellationToken);
        ModelStatus? known = served.FirstOrDefault(status => status.Id == model.Id && (model.Revision.Length == 0 || model.Revision == status.Revision));
        if (known?.Error is { } because) throw Errors.ToException(because); // it could not even be described
        if (known is not null) return (name, null);
        IReadOnlyList<Deployment> deployed = await deployments.ListAsync(cancellationToken);
        if (deployed.Any(deployment => deployment.GetName() == name)) throw ServerErrors.NotDescribed(name);
        throw ServerErrors.UnknownModel(name, [.. served.Select(status => status.Id).Concat(deployed.Select(deployment => deployment.Model)).Distinct()]);
    }
}
