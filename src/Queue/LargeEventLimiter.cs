using System.Threading.RateLimiting;

namespace Ndif.Queue;

/// <summary>
/// Limits the bytes of large events that the readers of one owner's jobs hold at once in this process. A reader that takes nothing from
/// its network connection holds its event until it is disconnected; only readers of the same owner wait for it.
/// </summary>
internal sealed class LargeEventLimiter : IAsyncDisposable
{
    /// <summary>The size in bytes above which an event is large. Smaller ones are limited by the number of streams.</summary>
    public const int LargeEventBytes = 128 << 10;

    /// <summary>The bytes that the readers of an owner may hold; one event may have more, if no other is held.</summary>
    private const int MaxKilobytes = 32 << 10;

    private readonly PartitionedRateLimiter<string> _limiter = PartitionedRateLimiter.Create<string, string>(
        owner => RateLimitPartition.GetConcurrencyLimiter(owner, _ => new ConcurrencyLimiterOptions
        {
            PermitLimit = MaxKilobytes, QueueLimit = int.MaxValue, QueueProcessingOrder = QueueProcessingOrder.OldestFirst,
        }));

    /// <summary>Waits until a reader may hold an event of this size. Disposing the result ends that.</summary>
    public async ValueTask<IDisposable> AcquireAsync(string owner, long bytes, CancellationToken cancellationToken)
    {
        RateLimitLease lease = await _limiter.AcquireAsync(owner, (int)Math.Min(bytes >> 10, MaxKilobytes), cancellationToken);
        ObjectDisposedException.ThrowIf(!lease.IsAcquired, this); // the waiting ones get nothing when the limiter is disposed
        return lease;
    }

    public ValueTask DisposeAsync() => _limiter.DisposeAsync();
}
