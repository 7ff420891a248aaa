using Microsoft.Extensions.Logging;
using Ndif.Queue;

namespace Ndif.Server.Hosting;

/// <summary>
/// Deletes the blobs of deleted jobs, also of those that passed their retention time, and counts no longer the uploads that the blob store
/// has deleted. Several gateways may do it at the same time, and an interrupted run is repeated.
/// </summary>
internal sealed class StoredBytesCleanupService(
    IJobQueue jobs, IBlobStore blobs, GatewayOptions options, TimeProvider time, ILogger<StoredBytesCleanupService> logger)
    : PeriodicBackgroundService("cleanup of stored bytes", options.BlobCleanupInterval, time, logger)
{
    private const int PageLength = 100;

    public static TimeSpan UploadCheckInterval { get; } = TimeSpan.FromHours(1);

    protected override async Task ExecuteOnceAsync(CancellationToken cancellationToken)
    {
        while (await jobs.Storage.ListDeletedJobsAsync(PageLength, cancellationToken) is { Count: > 0 } deleted)
        {
            foreach (DeletedJob job in deleted)
            {
                foreach (string blob in job.Blobs) await blobs.RevokeAsync(blob, job.Owner, job.JobId, cancellationToken);
                await jobs.Storage.RemoveDeletedJobAsync(job, cancellationToken);
            }
        }
        while (await jobs.Storage.ListUploadsToCheckAsync(PageLength, UploadCheckInterval, cancellationToken) is { Count: > 0 } uploads)
        {
            List<StoredUpload> missing = [];
            foreach (StoredUpload upload in uploads)
                if (!await blobs.CanReadAsync(upload.BlobId, upload.Owner, cancellationToken)) missing.Add(upload);
            if (missing.Count > 0) await jobs.Storage.RemoveUploadsAsync(missing, cancellationToken);
        }
    }
}
