using Ndif.Queue;
using Ndif.Queue.Rules;
using Ndif.Server.Keys;

namespace Ndif.Server.Admission;

/// <summary>Checks that a job belongs to the caller. A job of another owner gets the same error as a job that does not exist.</summary>
internal sealed class JobAuthorizer(IJobQueue jobs)
{
    /// <summary>Returns the id in the queue of the caller's job.</summary>
    /// <exception cref="NdifException">UNKNOWN_JOB: there is no such job, or it belongs to another owner.</exception>
    public async Task<string> FindAsync(Caller caller, string jobId, CancellationToken cancellationToken) =>
        QueueJobIds.Find(jobId, caller.Id) is { } queueId && await jobs.GetOwnerAsync(queueId, cancellationToken) == caller.Id
            ? queueId
            : throw ServerErrors.UnknownJob(jobId);
}
