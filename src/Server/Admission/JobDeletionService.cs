using Microsoft.Extensions.Logging;
using Ndif.Protocol;
using Ndif.Queue;
using Ndif.Queue.Rules;
using Ndif.Server.Keys;

namespace Ndif.Server.Admission;

/// <summary>
/// Deletes a job and its results for its owner:
/// 1. Cancel the job if it has not ended.
/// 2. Revoke the job's grants on the blobs of its events. Grants of other jobs and owners on the same bytes remain.
/// 3. Delete the job.
/// An interrupted deletion can be repeated.
/// </summary>
internal sealed class JobDeletionService(IJobQueue jobs, IBlobStore blobs, ILogger<JobDeletionService> logger)
{
    public async Task<DeleteJobReply> DeleteAsync(Caller caller, string jobId, CancellationToken cancellationToken)
    {
        JobInfo? job = await jobs.CancelAsync(jobId, "It is being deleted.", cancellationToken); // 1
        if (job is null) throw ServerErrors.UnknownJob(QueueJobIds.GetOwnersId(jobId));
        var reply = new DeleteJobReply();
        var seen = new HashSet<string>(StringComparer.Ordinal);
        await foreach (Event jobEvent in jobs.WatchAsync(jobId, 1, cancellationToken)) // 2; the stream ends, because the job has ended
        {
            foreach (BlobRef blob in GetBlobTensors(jobEvent).Select(tensor => tensor.Blob))
            {
                if (!seen.Add(blob.Id) || !await blobs.RevokeAsync(blob.Id, caller.Id, jobId, cancellationToken)) continue;
                reply.Blobs++;
                reply.Bytes += blob.Length;
            }
        }
        await jobs.DeleteAsync(jobId, cancellationToken); // 3
        logger.JobDeleted(jobId, caller.Id, reply.Blobs, reply.Bytes);
        return reply;
    }

    private static IEnumerable<Tensor> GetBlobTensors(Event jobEvent) => jobEvent.KindCase switch
    {
        Event.KindOneofCase.Value => jobEvent.Value.Data.BlobTensors(),
        Event.KindOneofCase.Local => jobEvent.Local.Values.SelectMany(DataTensors.BlobTensors),
        _ => [],
    };
}
