namespace Ndif.Queue.Memory;

/// <summary>The queue's record of a lease that has been granted and not released.</summary>
internal sealed class ActiveLease(long token, DateTimeOffset deadline, CancellationTokenSource lost)
{
    public long Token => token;

    public DateTimeOffset Deadline { get; set; } = deadline;

    /// <summary>Cancelled when the worker loses the lease.</summary>
    public CancellationTokenSource Lost => lost;
}
