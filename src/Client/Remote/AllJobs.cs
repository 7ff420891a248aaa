using Ndif.Protocol;
using Ndif.Remote;

namespace Ndif;

/// <summary>The jobs of all owners. For operators, whose keys have the scope `operator` or `admin`.</summary>
public static class AllJobs
{
    /// <summary>The jobs of one owner or of all, newest first.</summary>
    /// <param name="owner">The id of a key; empty for all.</param>
    /// <param name="limit">The largest number of jobs; the service returns at most 1000.</param>
    /// <param name="activeOnly">Only jobs that wait or run.</param>
    /// <exception cref="AccessException">The key has neither scope.</exception>
    public static Task<IReadOnlyList<JobInfo>> ListAsync(
        string owner = "", int limit = 100, bool activeOnly = false, Backend? remote = null, CancellationToken cancellationToken = default)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(limit);
        return RemoteService.For(remote).ListAllJobsAsync(
            new ListAllJobsRequest { Owner = owner, Limit = (uint)limit, ActiveOnly = activeOnly }, cancellationToken);
    }

    /// <summary>The current state of a job of any owner.</summary>
    /// <exception cref="NdifException">UNKNOWN_JOB: there is no such job.</exception>
    /// <exception cref="AccessException">The key has neither scope.</exception>
    public static Task<JobInfo> GetAsync(string jobId, Backend? remote = null, CancellationToken cancellationToken = default) =>
        RemoteService.For(remote).GetAnyJobAsync(jobId, cancellationToken);

    /// <summary>Cancels a job of any owner while it waits or runs.</summary>
    /// <param name="reason">What its owner reads; empty for "An operator cancelled it".</param>
    /// <exception cref="NdifException">UNKNOWN_JOB: there is no such job.</exception>
    /// <exception cref="AccessException">The key has neither scope.</exception>
    public static Task<JobInfo> CancelAsync(
        string jobId, string reason = "", Backend? remote = null, CancellationToken cancellationToken = default) =>
        RemoteService.For(remote).CancelAnyJobAsync(new CancelJobRequest { JobId = jobId, Reason = reason }, cancellationToken);

    /// <summary>
    /// Cancels a job of any owner, and ends the process of its worker if the job does not react within a second. The worker's other jobs
    /// return to the queue, and its supervisor starts it again. Also for a job that was cancelled before.
    /// </summary>
    /// <param name="reason">What its owner reads; empty for "An operator cancelled it".</param>
    /// <exception cref="NdifException">UNKNOWN_JOB: there is no such job.</exception>
    /// <exception cref="AccessException">The key has neither scope.</exception>
    public static Task<JobInfo> KillAsync(
        string jobId, string reason = "", Backend? remote = null, CancellationToken cancellationToken = default) =>
        RemoteService.For(remote).CancelAnyJobAsync(
            new CancelJobRequest { JobId = jobId, Reason = reason, Kill = true }, cancellationToken);
}
