using Microsoft.Extensions.Logging;
using Ndif.Queue;

namespace Ndif.Server.Hosting;

/// <summary>Deletes expired blobs.</summary>
internal sealed class ExpiredBlobCleanupService(
    IBlobStore blobs, GatewayOptions options, TimeProvider time, ILogger<ExpiredBlobCleanupService> logger)
    : PeriodicBackgroundService("expired blob cleanup", options.BlobCleanupInterval, time, logger)
{
    protected override async Task ExecuteOnceAsync(CancellationToken cancellationToken)
    {
        if (await blobs.DeleteExpiredAsync(cancellationToken) is > 0 and int count) logger.BlobsDeleted(count);
    }
}
