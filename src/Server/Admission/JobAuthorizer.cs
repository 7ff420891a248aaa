using Ndif.Queue;
using Ndif.Server.Keys;

namespace Ndif.Server.Admission;

/// <summary>Checks that a job belongs to the caller. A job of another owner gets the same error as a job that does not exist.</summary>
internal sealed class JobAuthorizer(IJobQueue jobs)
{
    /// <exception cref="NdifException">UNKNOWN_JOB: there is no such job, or it belongs to another owner.</exception>
    public async Task AuthorizeAsync(Caller caller, string jobId, CancellationToken cancellationToken)
    {
        if (!JobIds.IsValid(jobId) || await jobs.GetOwnerAsync(jobId, cancellationToken) != caller.Id)
            throw ServerErrors.UnknownJob(jobId);
    }
}
