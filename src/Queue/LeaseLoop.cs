namespace Ndif.Queue;

/// <summary>Waiting for a job: try, sleep until a bell rings, try again. Nothing is polled except by a slow look for what was missed.</summary>
internal static class LeaseLoop
{
    /// <param name="bell">Rings when a job may be there. It must listen already when this is called.</param>
    /// <param name="take">Takes a job at once, or tells that there is none.</param>
    /// <param name="reap">Puts expired leases back; run when the line was silent for <paramref name="poll"/>.</param>
    public static async Task<Lease?> WaitAsync(
        Bell bell, Func<Task<Lease?>> take, Func<CancellationToken, Task<int>> reap, TimeSpan wait, TimeSpan poll, TimeProvider time,
        CancellationToken cancellationToken)
    {
        if (wait == Timeout.InfiniteTimeSpan) wait = TimeSpan.MaxValue;
        long began = time.GetTimestamp();
        while (true)
        {
            cancellationToken.ThrowIfCancellationRequested();
            if (await take() is { } lease) return lease;
            TimeSpan left = wait - time.GetElapsedTime(began);
            if (left <= TimeSpan.Zero) return null;
            if (!await bell.WaitAsync(left < poll ? left : poll, time, cancellationToken)) await reap(cancellationToken);
        }
    }
}
