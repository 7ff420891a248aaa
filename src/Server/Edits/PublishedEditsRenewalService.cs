using Microsoft.Extensions.Logging;
using Ndif.Server.Hosting;

namespace Ndif.Server.Edits;

/// <summary>Extends the lifetime of the blobs of published edits, which blob stores delete some time after their last use.</summary>
internal sealed class PublishedEditsRenewalService(
    PublishedEditsService edits, TimeProvider time, ILogger<PublishedEditsRenewalService> logger)
    : PeriodicBackgroundService("renewal of the blobs of published edits", _interval, time, logger)
{
    /// <summary>Shorter than any sensible lifetime of blobs, whose default is a day.</summary>
    private static readonly TimeSpan _interval = TimeSpan.FromMinutes(10);

    protected override Task ExecuteOnceAsync(CancellationToken cancellationToken) => edits.RenewAsync(cancellationToken);
}
