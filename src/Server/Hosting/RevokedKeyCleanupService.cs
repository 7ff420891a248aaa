using Microsoft.Extensions.Logging;
using Ndif.Queue;
using Ndif.Server.Edits;
using Ndif.Server.Keys;

namespace Ndif.Server.Hosting;

/// <summary>
/// Cancels the jobs and deletes the published edits of keys that were revoked, also by another process: a gateway that died in the middle,
/// or `ndif keys revoke` on the store itself. The jobs of a key that this gateway revokes are cancelled at once.
/// </summary>
internal sealed class RevokedKeyCleanupService(
    KeyService keys, IJobQueue jobs, PublishedEditsService edits, TimeProvider time, ILogger<RevokedKeyCleanupService> logger)
    : PeriodicBackgroundService("cancellation of the jobs of revoked keys", _interval, time, logger)
{
    public const string Reason = "Its API key was revoked";

    private static readonly TimeSpan _interval = TimeSpan.FromSeconds(2);

    private readonly HashSet<string> _closed = [];

    protected override async Task ExecuteOnceAsync(CancellationToken cancellationToken)
    {
        foreach (KeyRecord key in await keys.ListAsync(cancellationToken))
        {
            if (key.Revoked is null || _closed.Contains(key.Id)) continue;
            int cancelled = await jobs.CloseOwnerAsync(key.Id, Reason, cancellationToken);
            await edits.DeleteAllAsync(key.Id, cancellationToken);
            if (cancelled > 0) logger.JobsOfRevokedKeyCancelled(cancelled, key.Id);
            _closed.Add(key.Id);
        }
    }
}
