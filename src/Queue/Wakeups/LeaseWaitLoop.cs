namespace Ndif.Queue.Wakeups;

/// <summary>
/// Waits for a job to lease:
/// 1. reap expired leases, if that was not done within <paramref name="pollInterval"/>;
/// 2. try to lease a job;
/// 3. if there was none, wait for a wake-up, at most <paramref name="pollInterval"/>, and start again.
/// Wake-ups make polling unnecessary; the poll interval only limits the delay after a lost message.
/// </summary>
internal sealed class LeaseWaitLoop(Func<CancellationToken, Task<int>> reapExpiredLeases, TimeSpan pollInterval, TimeProvider time)
{
    private long _lastReaped = time.GetTimestamp();

    /// <param name="wakeup">Signals that a job may be available. The caller must have subscribed before this call.</param>
    /// <param name="tryLease">Leases a job at once, or returns null if there is none.</param>
    /// <param name="wakeupDelay">The time between a wake-up and the next attempt.</param>
    public async Task<Lease?> WaitAsync(
        WakeupSubscription wakeup, Func<Task<Lease?>> tryLease, TimeSpan timeout, Func<TimeSpan> wakeupDelay,
        CancellationToken cancellationToken)
    {
        if (timeout == Timeout.InfiniteTimeSpan) timeout = TimeSpan.MaxValue;
        long started = time.GetTimestamp();
        while (true)
        {
            cancellationToken.ThrowIfCancellationRequested();
            if (time.GetElapsedTime(Volatile.Read(ref _lastReaped)) >= pollInterval) // 1
            {
                Volatile.Write(ref _lastReaped, time.GetTimestamp());
                await reapExpiredLeases(cancellationToken);
            }
            if (await tryLease() is { } lease) return lease; // 2
            TimeSpan left = timeout - time.GetElapsedTime(started);
            if (left <= TimeSpan.Zero) return null;
            await wakeup.WaitAsync(left < pollInterval ? left : pollInterval, time, cancellationToken); // 3
            if (wakeupDelay() is var delay && delay > TimeSpan.Zero) await Task.Delay(delay, time, cancellationToken);
        }
    }
}
