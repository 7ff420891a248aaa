using Ndif.Queue;

namespace Ndif.Server;

/// <summary>Lets a caller near its own jobs only. Another's job and no job at all get the same answer.</summary>
internal sealed class OwnJobs(IJobQueue jobs)
{
    /// <exception cref="NdifException">UNKNOWN_JOB.</exception>
    public async Task CheckAsync(Caller caller, string jobId, CancellationToken cancellationToken)
    {
        if (!JobIds.IsValid(jobId) || await jobs.OwnerAsync(jobId, cancellationToken) != caller.Id) throw ServerErrors.UnknownJob(jobId);
    }
}
