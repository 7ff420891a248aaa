namespace Ndif.Queue;

/// <summary>
/// Waiting for a job: try, sleep until a bell rings, try again. Nothing is polled, except that every <paramref name="poll"/> somebody
/// who comes for a job, or waits for one, puts expired leases back first and looks for what was missed.
/// </summary>
internal sealed class LeaseLoop(Func<CancellationToken, Task<int>> reap, TimeSpan poll, TimeProvider time)
{
    private long reaped = time.GetTimestamp();

    /// <param name="bell">Rings when a job may be there. It must listen already when this is called.</param>
    /// <param name="take">Takes a job at once, or tells that there is none.</param>
    public async Task<Lease?> WaitAsync(Bell bell, Func<Task<Lease?>> take, TimeSpan wait, CancellationToken cancellationToken)
    {
        if (wait == Timeout.InfiniteTimeSpan) wait = TimeSpan.MaxValue;
        long began = time.GetTimestamp();
        while (true)
        {
            cancellationToken.ThrowIfCancellationRequested();
            if (time.GetElapsedTime(Volatile.Read(ref reaped)) >= poll)
            {
                Volatile.Write(ref reaped, time.GetTimestamp());
                await reap(cancellationToken);
            }
            if (await take() is { } lease) return lease;
            TimeSpan left = wait - time.GetElapsedTime(began);
            if (left <= TimeSpan.Zero) return null;
            await bell.WaitAsync(left < poll ? left : poll, time, cancellationToken);
        }
    }
}
