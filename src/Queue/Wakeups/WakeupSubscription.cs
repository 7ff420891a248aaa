namespace Ndif.Queue.Wakeups;

/// <summary>One subscription of a <see cref="WakeupHub"/>. It stays signaled until it is waited for, and supports one waiter.</summary>
internal sealed class WakeupSubscription(WakeupHub hub, IReadOnlyCollection<string> keys) : IDisposable
{
    private TaskCompletionSource _signal = NewSignal();

    public void Notify() => Volatile.Read(ref _signal).TrySetResult();

    /// <summary>Waits for a wake-up. Returns false if the timeout elapsed first.</summary>
    public async Task<bool> WaitAsync(TimeSpan timeout, TimeProvider time, CancellationToken cancellationToken)
    {
        TaskCompletionSource current = Volatile.Read(ref _signal);
        await current.Task.WaitAsync(timeout, time, cancellationToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        cancellationToken.ThrowIfCancellationRequested();
        if (!current.Task.IsCompleted) return false;
        Volatile.Write(ref _signal, NewSignal()); // a signal before this line is covered by the read that follows the wait
        return true;
    }

    public void Dispose() => hub.Unsubscribe(this, keys);

    private static TaskCompletionSource NewSignal() => new(TaskCreationOptions.RunContinuationsAsynchronously);
}
