using Microsoft.Extensions.Logging;
using Ndif.Protocol;
using Ndif.Queue;
using Ndif.Queue.Rules;
using Ndif.Server.Monitoring;

namespace Ndif.Server.Deployments;

/// <summary>
/// What an operator wants of the service. It is written down and told; the workers do it (Worker/Caretaker.cs), so every call answers
/// at once, and the status shows how far it is.
/// </summary>
internal sealed class DeploymentAdminService(IDeployments deployments, IWorkerRegistry workers, IJobQueue jobs, ILogger<DeploymentAdminService> logger)
{
    private const string LeaseHolder = "gateway"; // in which jobs are that nobody is to run

    public Task<IReadOnlyList<Deployment>> ListAsync(CancellationToken cancellationToken) => deployments.ListAsync(cancellationToken);

    /// <summary>Deploys a model, pins or unpins it, scales it: what is said replaces what was.</summary>
    /// <exception cref="NdifException">BAD_ARGUMENT.</exception>
    public async Task<ModelStatus> DeployAsync(DeployRequest request, string requestedBy, CancellationToken cancellationToken)
    {
        if (request.Dtype is not (DataType.Unspecified or DataType.Float32 or DataType.Bfloat16 or DataType.Float16)) throw ServerErrors.BadDeploymentDtype(request.Dtype);
        Deployment deployment = await deployments.SetAsync(new Deployment
        {
            Model = request.Model, Revision = request.Revision, Pinned = request.Pinned, Replicas = Math.Max(1, request.Replicas), Dtype = request.Dtype,
        }, cancellationToken);
        logger.Deployed(ServerErrors.Truncate(deployment.GetName()), deployment.Replicas, deployment.Pinned, requestedBy);
        return await GetModelStatusAsync(request.Model, request.Revision, cancellationToken);
    }

    /// <exception cref="NdifException">UNKNOWN_MODEL: it is not deployed, and no worker holds it. BAD_ARGUMENT: no such worker.</exception>
    public async Task<ModelStatus> EvictAsync(EvictRequest request, string requestedBy, CancellationToken cancellationToken)
    {
        string name = ModelNames.Format(request.Model, request.Revision);
        IReadOnlyList<WorkerStatus> living = await workers.ListWorkersAsync(cancellationToken);
        if (request.Worker.Length > 0)
        {
            WorkerStatus worker = GetWorker(living, request.Worker);
            if (!worker.Models.Contains(request.Model)) throw ServerErrors.ModelNotOnWorker(name, request.Worker);
            await deployments.SendOrderAsync(worker.Id, new WorkerOrder { Evict = name }, cancellationToken);
            logger.Evicted(name, worker.Id, 0, requestedBy);
            return await GetModelStatusAsync(request.Model, request.Revision, cancellationToken);
        }

        ModelStatus before = await GetModelStatusAsync(request.Model, request.Revision, cancellationToken);
        bool wasWanted = await deployments.RemoveAsync(name, cancellationToken);
        if (!wasWanted && before.Heat is Heat.Unspecified)
            throw ServerErrors.UnknownDeployment(name, [.. (await workers.ListModelsAsync(cancellationToken)).Select(m => m.Id).Concat((await deployments.ListAsync(cancellationToken)).Select(d => d.Model)).Distinct()]);
        IReadOnlyList<string> names = await GetQueueNamesAsync(request.Model, name, cancellationToken);
        foreach (string gone in names) await workers.RemoveDescriptionAsync(gone, cancellationToken); // before its jobs are failed: none may follow them
        foreach (WorkerStatus worker in living) await deployments.SendOrderAsync(worker.Id, new WorkerOrder { Evict = name }, cancellationToken);
        int failed = await FailWaitingJobsAsync(name, names, cancellationToken);
        logger.Evicted(ServerErrors.Truncate(name), "all workers", failed, requestedBy);
        (before.Wanted, before.Pinned) = (0, false);
        return before;
    }

    /// <exception cref="NdifException">BAD_ARGUMENT: no such worker.</exception>
    public async Task<WorkerStatus> DrainAsync(string worker, string requestedBy, CancellationToken cancellationToken)
    {
        WorkerStatus told = GetWorker(await workers.ListWorkersAsync(cancellationToken), worker);
        await deployments.SendOrderAsync(told.Id, new WorkerOrder { Drain = true }, cancellationToken);
        logger.Draining(told.Id, requestedBy);
        told.Draining = true;
        return told;
    }

    /// <summary>The names under which jobs wait for a model and no other deployment's.</summary>
    private async Task<IReadOnlyList<string>> GetQueueNamesAsync(string model, string name, CancellationToken cancellationToken)
    {
        bool isOnly = !(await deployments.ListAsync(cancellationToken)).Any(other => other.Model == model);
        return isOnly && await workers.GetDescriptionAsync(name, cancellationToken) is { Revision.Length: > 0 } known ? [name, ModelNames.Format(model, known.Revision)] : [name];
    }

    private async Task<int> FailWaitingJobsAsync(string name, IReadOnlyList<string> queueNames, CancellationToken cancellationToken)
    {
        int failed = 0;
        while (await jobs.LeaseAsync(LeaseHolder, queueNames, TimeSpan.Zero, cancellationToken) is { } lease)
        {
            await jobs.PublishAsync(lease, new Event { State = new StateChanged { State = JobState.Failed, Error = ServerErrors.ModelEvicted(name) } }, CancellationToken.None);
            failed++;
        }
        return failed;
    }

    private async Task<ModelStatus> GetModelStatusAsync(string model, string revision, CancellationToken cancellationToken) =>
        ServiceStatusReader.WithDeployments(await workers.ListModelsAsync(cancellationToken), await deployments.ListAsync(cancellationToken))
            .Find(m => m.Id == model && (revision.Length == 0 || revision == m.Revision)) ?? new ModelStatus { Id = model, Revision = revision };

    private static WorkerStatus GetWorker(IReadOnlyList<WorkerStatus> liveWorkers, string worker) =>
        liveWorkers.FirstOrDefault(w => w.Id == worker) ?? throw ServerErrors.UnknownWorker(worker, liveWorkers.Select(w => w.Id));
}
