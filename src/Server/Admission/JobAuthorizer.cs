using Ndif.Queue;
using Ndif.Server.Keys;

namespace Ndif.Server.Admission;

/// <summary>Restricts callers to their own jobs. A job of another owner and a job that does not exist get the same error.</summary>
internal sealed class JobAuthorizer(IJobQueue jobs)
{
    /// <exception cref="NdifException">UNKNOWN_JOB.</exception>
    public async Task AuthorizeAsync(Caller caller, string jobId, CancellationToken cancellationToken)
    {
        if (!JobIds.IsValid(jobId) || await jobs.GetOwnerAsync(jobId, cancellationToken) != caller.Id) throw ServerErrors.UnknownJob(jobId);
    }
}
