using Ndif.Protocol;
using Ndif.Queue;

namespace Ndif.Server.Admission;

/// <summary>
/// The models that a job may wait for: those of live workers, those that are deployed (a worker describes them before it loads them),
/// and those that a worker has described before. The last kind matters when all workers are gone for a moment, or scaled to zero: the
/// jobs that wait then are what starts a worker.
/// </summary>
internal sealed class ServedModelCatalog(IWorkerRegistry workers, IDeployments deployments)
{
    private const int MaxNameLength = 256;

    /// <summary>The name under which jobs of the model wait, and its description if it is known.</summary>
    /// <exception cref="NdifException">UNKNOWN_MODEL, with the nearest names.</exception>
    public async Task<(string Name, ModelDescription? Description)> FindAsync(ModelRef? model, CancellationToken cancellationToken)
    {
        if (model is null || model.Id.Length is 0 or > MaxNameLength || model.Revision.Length > MaxNameLength)
            throw ServerErrors.NoModelName();
        string name = model.GetName();
        ModelDescription? description = await workers.GetDescriptionAsync(name, cancellationToken);
        if (description is null && model.Revision.Length > 0
            && await workers.GetDescriptionAsync(model.Id, cancellationToken) is { } latest && latest.Revision == model.Revision)
        {
            description = latest;
        }
        if (description is not null) return (name, description);
        IReadOnlyList<ModelStatus> served = await workers.ListModelsAsync(cancellationToken);
        ModelStatus? known = served.FirstOrDefault(
            status => status.Id == model.Id && (model.Revision.Length == 0 || model.Revision == status.Revision));
        if (known?.Error is { } error) throw Errors.ToException(error); // no worker could describe it
        if (known is not null) return (name, null);
        IReadOnlyList<Deployment> deployed = await deployments.ListAsync(cancellationToken);
        if (deployed.Any(deployment => deployment.GetName() == name)) throw ServerErrors.NotDescribed(name);
        IEnumerable<string> ids = served.Select(status => status.Id).Concat(deployed.Select(deployment => deployment.Model));
        throw ServerErrors.UnknownModel(name, [.. ids.Distinct()]);
    }
}
