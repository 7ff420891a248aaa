using Microsoft.Extensions.Logging;
using Ndif.Protocol;
using Ndif.Queue;
using Ndif.Server.Keys;

namespace Ndif.Server.Admission;

/// <summary>
/// Deletes a job and its results at its owner's wish: 1. cancels it if it has not ended, 2. lets go of each blob that its events name
/// (another job's or owner's copy of the same bytes stays), 3. forgets it. Whatever is interrupted can be asked for again.
/// </summary>
internal sealed class JobDeletionService(IJobQueue jobs, IBlobStore blobs, ILogger<JobDeletionService> logger)
{
    public async Task<DeleteJobReply> DeleteAsync(Caller caller, string jobId, CancellationToken cancellationToken)
    {
        JobInfo? job = await jobs.CancelAsync(jobId, "It is being deleted.", cancellationToken);
        if (job is null) throw ServerErrors.UnknownJob(jobId);
        var reply = new DeleteJobReply();
        var seen = new HashSet<string>(StringComparer.Ordinal);
        await foreach (Event happening in jobs.WatchAsync(jobId, 1, cancellationToken)) // it has ended, so this does
        {
            foreach (BlobRef blob in GetBlobTensors(happening).Select(tensor => tensor.Blob))
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
