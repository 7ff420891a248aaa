using Microsoft.Extensions.Logging;
using Ndif.Queue;
using Ndif.Server.Keys;

namespace Ndif.Server.Hosting;

/// <summary>
/// Cancels the jobs of keys that were revoked by another process: a gateway that died in the middle, or `ndif keys revoke` on the store
/// itself. A key that this gateway revokes is handled at once.
/// </summary>
internal sealed class RevokedKeyCleanupService(
    KeyService keys, IJobQueue jobs, TimeProvider time, ILogger<RevokedKeyCleanupService> logger)
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
            if (cancelled > 0) logger.JobsOfRevokedKeyCancelled(cancelled, key.Id);
            _closed.Add(key.Id);
        }
    }
}
