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
            foreach (BlobRef blob in GetBlobReferences(happening))
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

    private static IEnumerable<BlobRef> GetBlobReferences(Event jobEvent) => jobEvent.KindCase switch
    {
        Event.KindOneofCase.Value => GetBlobReferences(jobEvent.Value.Data),
        Event.KindOneofCase.Local => jobEvent.Local.Values.SelectMany(GetBlobReferences),
        _ => [],
    };

    private static IEnumerable<BlobRef> GetBlobReferences(Data? data) => data?.ValueCase switch
    {
        Data.ValueOneofCase.Tensor when data.Tensor.ContentCase is Tensor.ContentOneofCase.Blob => [data.Tensor.Blob],
        Data.ValueOneofCase.List => data.List.Items.SelectMany(GetBlobReferences),
        Data.ValueOneofCase.Map => data.Map.Entries.SelectMany(entry => GetBlobReferences(entry.Value)),
        _ => [],
    };
}
