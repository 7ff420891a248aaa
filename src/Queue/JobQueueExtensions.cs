using Ndif.Protocol;

namespace Ndif.Queue;

public static class JobQueueExtensions
{
    /// <summary>Leases the next job of any owner, as <see cref="IJobQueue.LeaseAsync"/>, without a delay after a wake-up.</summary>
    public static Task<Lease?> LeaseAsync(
        this IJobQueue jobs, string worker, IReadOnlyCollection<string> models, TimeSpan wait,
        CancellationToken cancellationToken = default) => jobs.LeaseAsync(worker, models, wait, () => TimeSpan.Zero, [], cancellationToken);

    /// <summary>Publishes positions, as <see cref="IJobQueue.PublishPositionsAsync"/>, and leaves the notices as they are.</summary>
    public static Task<int> PublishPositionsAsync(
        this IJobQueue jobs, IReadOnlyCollection<string> jobIds, TimeSpan minInterval, CancellationToken cancellationToken = default) =>
        jobs.PublishPositionsAsync(jobIds, minInterval, null, cancellationToken);

    /// <summary>Fails all jobs that wait for a model.</summary>
    /// <param name="leaseHolder">The name under which the jobs are leased.</param>
    /// <param name="models">The names of the model.</param>
    /// <returns>The ids of the jobs.</returns>
    public static async Task<IReadOnlyList<string>> FailWaitingAsync(
        this IJobQueue jobs, string leaseHolder, IReadOnlyList<string> models, Error error, CancellationToken cancellationToken)
    {
        List<string> failed = [];
        while (await jobs.LeaseAsync(leaseHolder, models, TimeSpan.Zero, cancellationToken) is { } lease)
        {
            var state = new StateChanged { State = JobState.Failed, Error = error };
            await jobs.PublishAsync(lease, new Event { State = state }, CancellationToken.None);
            failed.Add(lease.JobId);
        }
        return failed;
    }
}
