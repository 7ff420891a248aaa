namespace Ndif.Queue.Wakeups;

/// <summary>
/// Waiting for a job: try, sleep until a bell rings, try again. Nothing is polled, except that every <paramref name="pollInterval"/> somebody
/// who comes for a job, or waits for one, puts expired leases back first and looks for what was missed.
/// </summary>
internal sealed class LeaseWaitLoop(Func<CancellationToken, Task<int>> reapExpiredLeases, TimeSpan pollInterval, TimeProvider time)
{
    private long _lastReaped = time.GetTimestamp();

    /// <param name="wakeup">Rings when a job may be there. It must listen already when this is called.</param>
    /// <param name="tryLease">Takes a job at once, or tells that there is none.</param>
    public async Task<Lease?> WaitAsync(WakeupSubscription wakeup, Func<Task<Lease?>> tryLease, TimeSpan timeout, CancellationToken cancellationToken)
    {
        if (timeout == Timeout.InfiniteTimeSpan) timeout = TimeSpan.MaxValue;
        long started = time.GetTimestamp();
        while (true)
        {
            cancellationToken.ThrowIfCancellationRequested();
            if (time.GetElapsedTime(Volatile.Read(ref _lastReaped)) >= pollInterval)
            {
                Volatile.Write(ref _lastReaped, time.GetTimestamp());
                await reapExpiredLeases(cancellationToken);
            }
            if (await tryLease() is { } lease) return lease;
            TimeSpan left = timeout - time.GetElapsedTime(started);
            if (left <= TimeSpan.Zero) return null;
            await wakeup.WaitAsync(left < pollInterval ? left : pollInterval, time, cancellationToken);
        }
    }
}
