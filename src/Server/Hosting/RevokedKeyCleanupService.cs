using System.Runtime.ExceptionServices;
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

    /// <summary>How often all keys are listed although the revision is the same: processes of older versions do not change it.</summary>
    private static readonly TimeSpan _listInterval = TimeSpan.FromMinutes(5);

    private readonly TimeProvider _time = time;

    /// <summary>With the time, because a key of a Redis that was restored from a backup can be revoked again.</summary>
    private readonly HashSet<(string Id, DateTimeOffset Revoked)> _closed = [];

    private string? _revision;
    private long _listed;

    protected override async Task ExecuteOnceAsync(CancellationToken cancellationToken)
    {
        // read before the keys: a key that is revoked in between is found the next time
        (string revision, long start) = (await keys.GetRevisionAsync(cancellationToken), _time.GetTimestamp());
        if (revision == _revision && _time.GetElapsedTime(_listed, start) < _listInterval) return;
        Exception? failure = null;
        foreach (KeyRecord key in await keys.ListAsync(cancellationToken))
        {
            if (key.Revoked is not { } revoked || _closed.Contains((key.Id, revoked))) continue;
            try
            {
                await CloseAsync(key.Id, cancellationToken);
                _closed.Add((key.Id, revoked));
            }
            catch (Exception e) when (!cancellationToken.IsCancellationRequested)
            {
                failure ??= e; // the other keys are closed nevertheless, and this one is tried again in the next run
            }
        }
        if (failure is not null) ExceptionDispatchInfo.Throw(failure);
        (_revision, _listed) = (revision, start);
    }

    private async Task CloseAsync(string keyId, CancellationToken cancellationToken)
    {
        int cancelled = await jobs.CloseOwnerAsync(keyId, Reason, cancellationToken);
        if (cancelled > 0) logger.JobsOfRevokedKeyCancelled(cancelled, keyId);
        await edits.DeleteAllAsync(keyId, cancellationToken);
    }
}
