using Ndif.Queue;
using Ndif.Server.Keys;

namespace Ndif.Server.Admission;

/// <summary>Lets a caller near its own jobs only. Another's job and no job at all get the same answer.</summary>
internal sealed class JobAuthorizer(IJobQueue jobs)
{
    /// <exception cref="NdifException">UNKNOWN_JOB.</exception>
    public async Task AuthorizeAsync(Caller caller, string jobId, CancellationToken cancellationToken)
    {
        if (!JobIds.IsValid(jobId) || await jobs.GetOwnerAsync(jobId, cancellationToken) != caller.Id) throw ServerErrors.UnknownJob(jobId);
    }
}
