using Microsoft.Extensions.Logging;
using Ndif.Protocol;
using Ndif.Queue;

namespace Ndif.Server;

/// <summary>
/// What an operator wants of the service. It is written down and told; the workers do it (Worker/Caretaker.cs), so every call answers
/// at once, and the status shows how far it is.
/// </summary>
internal sealed class Operations(IDeployments deployments, IWorkerRegistry workers, IJobQueue jobs, ILogger<Operations> logger)
{
    private const string Hand = "gateway"; // in which jobs are that nobody is to run

    public Task<IReadOnlyList<Deployment>> ListAsync(CancellationToken cancellationToken) => deployments.ListAsync(cancellationToken);

    /// <summary>Deploys a model, pins or unpins it, scales it: what is said replaces what was.</summary>
    /// <exception cref="NdifException">BAD_ARGUMENT.</exception>
    public async Task<ModelStatus> DeployAsync(DeployRequest request, string by, CancellationToken cancellationToken)
    {
        if (request.Dtype is not (DataType.Unspecified or DataType.Float32 or DataType.Bfloat16 or DataType.Float16)) throw ServerErrors.BadDeployedType(request.Dtype);
        Deployment deployment = await deployments.SetAsync(new Deployment
        {
            Model = request.Model, Revision = request.Revision, Pinned = request.Pinned, Replicas = Math.Max(1, request.Replicas), Dtype = request.Dtype,
        }, cancellationToken);
        logger.Deployed(ServerErrors.Short(DeploymentRules.NameOf(deployment)), deployment.Replicas, deployment.Pinned, by);
        return await StatusAsync(request.Model, request.Revision, cancellationToken);
    }

    /// <exception cref="NdifException">UNKNOWN_MODEL: it is not deployed, and no worker holds it. BAD_ARGUMENT: no such worker.</exception>
    public async Task<ModelStatus> EvictAsync(EvictRequest request, string by, CancellationToken cancellationToken)
    {
        string name = DeploymentRules.NameOf(request.Model, request.Revision);
        IReadOnlyList<WorkerStatus> living = await workers.WorkersAsync(cancellationToken);
        if (request.Worker.Length > 0)
        {
            WorkerStatus worker = Find(living, request.Worker);
            if (!worker.Models.Contains(request.Model)) throw ServerErrors.NotHeldThere(name, request.Worker);
            await deployments.OrderAsync(worker.Id, new WorkerOrder { Evict = name }, cancellationToken);
            logger.Evicted(name, worker.Id, 0, by);
            return await StatusAsync(request.Model, request.Revision, cancellationToken);
        }

        ModelStatus before = await StatusAsync(request.Model, request.Revision, cancellationToken);
        bool wasWanted = await deployments.RemoveAsync(name, cancellationToken);
        if (!wasWanted && before.Heat is Heat.Unspecified)
            throw ServerErrors.UnknownDeployment(name, [.. (await workers.ModelsAsync(cancellationToken)).Select(m => m.Id).Concat((await deployments.ListAsync(cancellationToken)).Select(d => d.Model)).Distinct()]);
        IReadOnlyList<string> names = await NamesAsync(request.Model, name, cancellationToken);
        foreach (string gone in names) await workers.ForgetAsync(gone, cancellationToken); // before its jobs are failed: none may follow them
        foreach (WorkerStatus worker in living) await deployments.OrderAsync(worker.Id, new WorkerOrder { Evict = name }, cancellationToken);
        int failed = await FailWaitingAsync(name, names, cancellationToken);
        logger.Evicted(ServerErrors.Short(name), "all workers", failed, by);
        (before.Wanted, before.Pinned) = (0, false);
        return before;
    }

    /// <exception cref="NdifException">BAD_ARGUMENT: no such worker.</exception>
    public async Task<WorkerStatus> DrainAsync(string worker, string by, CancellationToken cancellationToken)
    {
        WorkerStatus told = Find(await workers.WorkersAsync(cancellationToken), worker);
        await deployments.OrderAsync(told.Id, new WorkerOrder { Drain = true }, cancellationToken);
        logger.Draining(told.Id, by);
        told.Draining = true;
        return told;
    }

    /// <summary>The names under which jobs wait for a model and no other deployment's.</summary>
    private async Task<IReadOnlyList<string>> NamesAsync(string model, string name, CancellationToken cancellationToken)
    {
        bool isOnly = !(await deployments.ListAsync(cancellationToken)).Any(other => other.Model == model);
        return isOnly && await workers.DescriptionAsync(name, cancellationToken) is { Revision.Length: > 0 } known ? [name, $"{model}@{known.Revision}"] : [name];
    }

    private async Task<int> FailWaitingAsync(string name, IReadOnlyList<string> names, CancellationToken cancellationToken)
    {
        int failed = 0;
        while (await jobs.LeaseAsync(Hand, names, TimeSpan.Zero, cancellationToken) is { } lease)
        {
            await jobs.PublishAsync(lease, new Event { State = new StateChanged { State = JobState.Failed, Error = ServerErrors.TakenOff(name) } }, CancellationToken.None);
            failed++;
        }
        return failed;
    }

    private async Task<ModelStatus> StatusAsync(string model, string revision, CancellationToken cancellationToken) =>
        StatusBoard.WithWanted(await workers.ModelsAsync(cancellationToken), await deployments.ListAsync(cancellationToken))
            .Find(m => m.Id == model && (revision.Length == 0 || revision == m.Revision)) ?? new ModelStatus { Id = model, Revision = revision };

    private static WorkerStatus Find(IReadOnlyList<WorkerStatus> living, string worker) =>
        living.FirstOrDefault(w => w.Id == worker) ?? throw ServerErrors.UnknownWorker(worker, living.Select(w => w.Id));
}
