using Microsoft.Extensions.Logging;
using Ndif.Protocol;
using Ndif.Queue;

namespace Ndif.Worker.Serving;

/// <summary>
/// Leases jobs for a worker, renews the leases and returns the jobs. It tolerates a queue that cannot be reached for a moment.
/// </summary>
internal sealed class JobLeaseClient(WorkerOptions options, IJobQueue jobs, ILogger logger, TimeProvider time)
{
    private readonly FailureBackoff _renewals = new("renewal of leases", logger, time), _returns = new("return of jobs", logger, time),
        _events = new("publication of events", logger, time), _revocations = new("deletion of results that were not sent", logger, time);

    /// <summary>Notes that an event of a job could not be published. The lease expires, and the job runs again.</summary>
    public void OnPublishFailed(Exception failure) => _events.Failed(failure);

    /// <summary>Notes that the blobs of values that were not published could not be deleted. They expire.</summary>
    public void OnRevocationFailed(Exception failure)
    {
        lock (_revocations) _revocations.Failed(failure);
    }

    /// <summary>Leases the next job.</summary>
    /// <returns>Null if no job arrived within the timeout.</returns>
    /// <param name="wakeupDelay">Returns how long a job that arrives is left to other workers.</param>
    /// <param name="exceptOwners">Owners whose jobs are left waiting.</param>
    public Task<Lease?> LeaseAsync(
        IReadOnlyList<string> models, TimeSpan timeout, Func<TimeSpan> wakeupDelay, IReadOnlyCollection<string> exceptOwners,
        CancellationToken cancellationToken) =>
        jobs.LeaseAsync(options.Id, models, timeout, wakeupDelay, exceptOwners, cancellationToken);

    /// <summary>Leases the jobs that wait now, up to <see cref="WorkerOptions.MaxBatch"/>.</summary>
    public async Task<List<Lease>> LeaseWaitingAsync(IReadOnlyList<string> models, CancellationToken cancellationToken)
    {
        List<Lease> leases = [];
        while (leases.Count < options.MaxBatch)
        {
            try
            {
                Lease? lease = await jobs.LeaseAsync(options.Id, models, TimeSpan.Zero, cancellationToken);
                if (lease is null) break;
                leases.Add(lease);
            }
            catch (Exception e) when (leases.Count > 0 || e is not OperationCanceledException)
            {
                // The leased jobs must run: if they were dropped here, each would count as a lost lease. Without any, the model is loaded
                // nevertheless: a queue that cannot be reached is no failure of the model.
                if (e is not OperationCanceledException) Log.QueueUnreachable(logger, e.Message);
                break;
            }
        }
        return leases;
    }

    /// <summary>Renews a lease at every <see cref="WorkerOptions.LeaseRenewalInterval"/> until it is lost or no longer needed.</summary>
    /// <param name="ended">Cancelled when the lease is no longer needed.</param>
    /// <returns>True if the lease was lost.</returns>
    public async Task<bool> RenewUntilLostAsync(Lease lease, CancellationToken ended)
    {
        while (true)
        {
            try
            {
                await Task.Delay(options.LeaseRenewalInterval, time, ended);
                if (!await jobs.RenewAsync(lease, ended)) return true;
                lock (_renewals) _renewals.Succeeded();
            }
            catch (OperationCanceledException)
            {
                return false;
            }
            catch (Exception e)
            {
                // If that lasts, the lease expires, and the next answer says so.
                lock (_renewals) _renewals.Failed(e);
            }
        }
    }

    /// <summary>Returns a job to the queue. If the queue cannot be reached, the lease expires instead.</summary>
    public async Task ReturnAsync(Lease lease)
    {
        try
        {
            await jobs.ReturnAsync(lease, CancellationToken.None);
        }
        catch (Exception e)
        {
            lock (_returns) _returns.Failed(e); // the other jobs must still be completed
        }
    }
}
