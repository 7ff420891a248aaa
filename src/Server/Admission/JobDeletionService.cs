using Microsoft.Extensions.Logging;
using Ndif.Protocol;
using Ndif.Queue;
using Ndif.Server.Keys;

namespace Ndif.Server.Admission;

/// <summary>
/// Deletes a job and its results for its owner: 1. cancels the job if it has not ended, 2. revokes the grant of each blob that its events
/// name (the same bytes stay for other jobs and owners), 3. removes the job. A deletion that was interrupted can be repeated.
/// </summary>
internal sealed class JobDeletionService(IJobQueue jobs, IBlobStore blobs, ILogger<JobDeletionService> logger)
{
    public async Task<DeleteJobReply> DeleteAsync(Caller caller, string jobId, CancellationToken cancellationToken)
    {
        JobInfo? job = await jobs.CancelAsync(jobId, "It is being deleted.", cancellationToken);
        if (job is null) throw ServerErrors.UnknownJob(jobId);
        var reply = new DeleteJobReply();
        var seen = new HashSet<string>(StringComparer.Ordinal);
        await foreach (Event jobEvent in jobs.WatchAsync(jobId, 1, cancellationToken)) // the job has ended, so the events end
        {
            foreach (BlobRef blob in GetBlobTensors(jobEvent).Select(tensor => tensor.Blob))
            {
                if (!seen.Add(blob.Id) || !await blobs.RevokeAsync(blob.Id, caller.Id, jobId, cancellationToken)) continue;
                reply.Blobs++;
                reply.Bytes += blob.Length;
            }
        }
        await jobs.DeleteAsync(jobId, cancellationToken);
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
