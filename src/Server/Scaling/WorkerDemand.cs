using Ndif.Protocol;
using Ndif.Queue;

namespace Ndif.Server.Scaling;

/// <summary>Reads how much work there is for the workers of a ScaledObject, in jobs.</summary>
internal sealed class WorkerDemand(IJobQueue jobs, IWorkerRegistry workers, IDeployments deployments)
{
    /// <summary>
    /// The number of jobs that wait or run, by these rules:
    /// 1. The jobs of a deployment count for at most as many workers as it has replicas, because no more of them load the model.
    /// 2. A pinned deployment counts for all its replicas, also if there are no jobs. Deployments share workers, so the largest counts.
    /// 3. A deployment that no worker has described yet counts as one job: the gateway needs its description before it accepts jobs.
    /// </summary>
    public async Task<double> ReadAsync(ScalerTarget target, CancellationToken cancellationToken)
    {
        QueueCounts counts = await jobs.CountAsync(cancellationToken);
        Deployment[] deployed =
            [.. (await deployments.ListAsync(cancellationToken)).Where(deployment => target.Includes(deployment.GetName()))];
        double work = counts.ByModel.Where(model => target.Includes(model.Key))
            .GroupBy(model => FindDeployment(deployed, model.Key), model => model.Value.Waiting + model.Value.Running)
            .Sum(model => Math.Min(model.Sum(), model.Key is null ? double.PositiveInfinity : GetCapacity(model.Key))); // 1
        double pinned = deployed.Where(deployment => deployment.Pinned).Select(GetCapacity).DefaultIfEmpty(0).Max(); // 2
        double demand = Math.Max(work, pinned);
        return demand > 0 || !await IsAnyUndescribedAsync(deployed, cancellationToken) ? demand : 1; // 3

        double GetCapacity(Deployment deployment) => (double)deployment.Replicas * target.JobsPerWorker;
    }

    private static Deployment? FindDeployment(IReadOnlyList<Deployment> deployed, string name) =>
        deployed.FirstOrDefault(deployment => deployment.GetName() == name)
        ?? deployed.FirstOrDefault(deployment => deployment.Revision.Length == 0 && deployment.Model == ModelNames.Parse(name).Id);

    private async Task<bool> IsAnyUndescribedAsync(IEnumerable<Deployment> deployed, CancellationToken cancellationToken)
    {
        foreach (Deployment deployment in deployed)
            if (await workers.GetDescriptionAsync(deployment.GetName(), cancellationToken) is null) return true;
        return false;
    }
}
