using Ndif.Protocol;
using Ndif.Queue;
using Ndif.Queue.Rules;

namespace Ndif.Server.Admission;

/// <summary>
/// Finds the models that jobs may be submitted for: the models of live workers, deployed models (a worker publishes their descriptions
/// before it loads them), and models with a stored description. The last kind covers the time when no worker is alive or workers are
/// scaled to zero: the waiting jobs make the autoscaler start a worker.
/// </summary>
internal sealed class ServedModelCatalog(IWorkerRegistry workers, IDeployments deployments)
{
    private const int MaxNameLength = 256;

    /// <summary>Returns the name under which jobs for the model are queued, and its description if there is one.</summary>
    /// <exception cref="NdifException">UNKNOWN_MODEL: there is no such model; the error suggests similar names.</exception>
    public async Task<(string Name, ModelDescription? Description)> FindAsync(ModelRef? model, CancellationToken cancellationToken)
    {
        if (model is null || model.Id.Length is 0 or > MaxNameLength || model.Revision.Length > MaxNameLength)
            throw ServerErrors.NoModelName();
        string name = model.GetName();
        ModelDescription? description = await workers.GetDescriptionAsync(name, cancellationToken);
        if (description is null && model.Revision.Length > 0
            && await workers.GetDescriptionAsync(model.Id, cancellationToken) is { } any && any.Revision == model.Revision)
            description = any;
        if (description is not null) return (name, description);
        IReadOnlyList<ModelStatus> served = await workers.ListModelsAsync(cancellationToken);
        ModelStatus? known = served.FirstOrDefault(
            status => status.Id == model.Id && (model.Revision.Length == 0 || model.Revision == status.Revision));
        if (known?.Error is { } error) throw Errors.ToException(error); // no worker could read the model
        if (known is not null) return (name, null);
        IReadOnlyList<Deployment> deployed = await deployments.ListAsync(cancellationToken);
        if (deployed.Any(deployment => deployment.GetName() == name)) throw ServerErrors.NotDescribed(name);
        throw ServerErrors.UnknownModel(
            name, [.. served.Select(status => status.Id).Concat(deployed.Select(deployment => deployment.Model)).Distinct()]);
    }
}
