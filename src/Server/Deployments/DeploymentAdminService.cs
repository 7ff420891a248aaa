using Microsoft.Extensions.Logging;
using Ndif.Protocol;
using Ndif.Queue;
using Ndif.Server.Monitoring;

namespace Ndif.Server.Deployments;

/// <summary>
/// Changes the deployments of the service for operators. It records the desired state and sends orders; the workers reconcile themselves
/// (src/Worker/Deployments/DeploymentReconciler.cs). Every call therefore returns at once, and the service status shows the progress.
/// </summary>
internal sealed class DeploymentAdminService(
    IDeployments deployments, IWorkerRegistry workers, IJobQueue jobs, GatewayOptions options, ILogger<DeploymentAdminService> logger)
{
    private const string LeaseHolder = "gateway"; // the worker name of leases that are taken to fail jobs

    public Task<IReadOnlyList<Deployment>> ListAsync(CancellationToken cancellationToken) => deployments.ListAsync(cancellationToken);

    /// <summary>Adds or replaces a deployment. This is also how a model is pinned, unpinned and scaled.</summary>
    /// <exception cref="NdifException">BAD_ARGUMENT: the name, the number of replicas or the type is not valid.</exception>
    public async Task<ModelStatus> DeployAsync(DeployRequest request, string requestedBy, CancellationToken cancellationToken)
    {
        if (request.Dtype is not (DataType.Unspecified or DataType.Float32 or DataType.Bfloat16 or DataType.Float16))
            throw ServerErrors.BadDeploymentDtype(request.Dtype);
        if (!IsDeployable(request.Model)) throw ServerErrors.BadDeploymentName(request.Model);
        if (request.Revision.Length > 0 && !ModelNames.IsRevision(request.Revision))
            throw ServerErrors.BadDeploymentRevision(request.Revision);
        Deployment deployment = await deployments.SetAsync(new Deployment
        {
            Model = request.Model, Revision = request.Revision, Pinned = request.Pinned, Replicas = Math.Max(1, request.Replicas),
            Dtype = request.Dtype,
        }, cancellationToken);
        logger.Deployed(ServerErrors.Truncate(deployment.GetName()), deployment.Replicas, deployment.Pinned, requestedBy);
        return await GetModelStatusAsync(request.Model, request.Revision, cancellationToken);
    }

    /// <summary>An id on the hub, or a folder below those that the options name, written without detours.</summary>
    private bool IsDeployable(string model)
    {
        if (ModelNames.IsHubId(model)) return true;
        if (!Path.IsPathFullyQualified(model) || model.Any(c => char.IsControl(c) || c is '%' or '\\')) return false;
        if (Path.TrimEndingDirectorySeparator(Path.GetFullPath(model)) != model) return false;
        return options.ModelFolders.Any(folder => model.StartsWith(
            Path.TrimEndingDirectorySeparator(Path.GetFullPath(folder)) + Path.DirectorySeparatorChar, StringComparison.Ordinal));
    }

    /// <summary>Evicts a model from one worker, or removes its deployment and evicts it from all workers.</summary>
    /// <exception cref="NdifException">UNKNOWN_MODEL: it is not deployed, and no worker holds it. BAD_ARGUMENT: no such worker.</exception>
    public async Task<ModelStatus> EvictAsync(EvictRequest request, string requestedBy, CancellationToken cancellationToken)
    {
        string name = ModelNames.Format(request.Model, request.Revision);
        IReadOnlyList<WorkerStatus> liveWorkers = await workers.ListWorkersAsync(cancellationToken);
        if (request.Worker.Length > 0)
        {
            WorkerStatus worker = GetWorker(liveWorkers, request.Worker);
            if (!worker.Models.Contains(request.Model)) throw ServerErrors.ModelNotOnWorker(name, request.Worker);
            await deployments.SendOrderAsync(worker.Id, new WorkerOrder { Evict = name }, cancellationToken);
            logger.Evicted(name, worker.Id, 0, requestedBy);
            return await GetModelStatusAsync(request.Model, request.Revision, cancellationToken);
        }

        ModelStatus before = await GetModelStatusAsync(request.Model, request.Revision, cancellationToken);
        bool wasDeployed = await deployments.RemoveAsync(name, cancellationToken);
        if (!wasDeployed && before.Heat is Heat.Unspecified)
        {
            IEnumerable<string> served = (await workers.ListModelsAsync(cancellationToken)).Select(model => model.Id);
            IEnumerable<string> deployed = (await deployments.ListAsync(cancellationToken)).Select(deployment => deployment.Model);
            throw ServerErrors.UnknownDeployment(name, [.. served.Concat(deployed).Distinct()]);
        }
        IReadOnlyList<string> names = await GetQueueNamesAsync(request.Model, name, cancellationToken);
        // The descriptions are removed before the waiting jobs are failed, so that no new job is accepted in between.
        foreach (string removed in names) await workers.RemoveDescriptionAsync(removed, cancellationToken);
        foreach (WorkerStatus worker in liveWorkers)
            await deployments.SendOrderAsync(worker.Id, new WorkerOrder { Evict = name }, cancellationToken);
        int failed = (await jobs.FailWaitingAsync(LeaseHolder, names, ServerErrors.ModelEvicted(name), cancellationToken)).Count;
        logger.Evicted(ServerErrors.Truncate(name), "all workers", failed, requestedBy);
        (before.Wanted, before.Pinned) = (0, false);
        return before;
    }

    /// <summary>Orders a worker to accept no new jobs and to exit when its running jobs have ended.</summary>
    /// <exception cref="NdifException">BAD_ARGUMENT: no such worker.</exception>
    public async Task<WorkerStatus> DrainAsync(string worker, string requestedBy, CancellationToken cancellationToken)
    {
        WorkerStatus status = GetWorker(await workers.ListWorkersAsync(cancellationToken), worker);
        await deployments.SendOrderAsync(status.Id, new WorkerOrder { Drain = true }, cancellationToken);
        logger.Draining(status.Id, requestedBy);
        status.Draining = true;
        return status;
    }

    /// <summary>
    /// Orders the worker that runs a cancelled job to end at once if the job does not react. Workers ignore the order for jobs that have
    /// ended.
    /// </summary>
    public async Task KillAsync(JobInfo job, string requestedBy, CancellationToken cancellationToken)
    {
        IReadOnlyList<WorkerStatus> liveWorkers = await workers.ListWorkersAsync(cancellationToken);
        foreach (WorkerStatus worker in liveWorkers.Where(worker => worker.Id == job.Worker || worker.Jobs.Contains(job.Id)))
        {
            await deployments.SendOrderAsync(worker.Id, new WorkerOrder { Kill = job.Id }, cancellationToken);
            logger.Killing(job.Id, worker.Id, requestedBy);
        }
    }

    /// <summary>
    /// Returns the names under which jobs for the model are queued. The name with the commit is included only if no other deployment of
    /// the same model exists, which would use it too.
    /// </summary>
    private async Task<IReadOnlyList<string>> GetQueueNamesAsync(string model, string name, CancellationToken cancellationToken)
    {
        bool hasOther = (await deployments.ListAsync(cancellationToken)).Any(other => other.Model == model);
        return !hasOther && await workers.GetDescriptionAsync(name, cancellationToken) is { Revision.Length: > 0 } description
            ? [name, ModelNames.Format(model, description.Revision)]
            : [name];
    }

    private async Task<ModelStatus> GetModelStatusAsync(string model, string revision, CancellationToken cancellationToken) =>
        ServiceStatusReader.WithDeployments(
            await workers.ListModelsAsync(cancellationToken), await deployments.ListAsync(cancellationToken))
            .Find(status => status.Id == model && (revision.Length == 0 || revision == status.Revision))
        ?? new ModelStatus { Id = model, Revision = revision };

    private static WorkerStatus GetWorker(IReadOnlyList<WorkerStatus> liveWorkers, string worker) =>
        liveWorkers.FirstOrDefault(w => w.Id == worker) ?? throw ServerErrors.UnknownWorker(worker, liveWorkers.Select(w => w.Id));
}
