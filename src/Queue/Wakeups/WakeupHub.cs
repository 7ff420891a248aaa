namespace Ndif.Queue.Wakeups;

/// <summary>
/// Wake-ups within a process. Whoever waits for news of a key listens first and looks then, so that nothing can happen unheard
/// between the look and the wait.
/// </summary>
internal sealed class WakeupHub
{
    private readonly Lock _lock = new();
    private readonly Dictionary<string, HashSet<WakeupSubscription>> _subscriptions = [];

    /// <summary>A bell that rings on news of any of these keys, until it is disposed.</summary>
    public WakeupSubscription Subscribe(params IReadOnlyCollection<string> keys)
    {
        var subscription = new WakeupSubscription(this, keys);
        lock (_lock)
        {
            foreach (string key in keys)
            {
                if (!_subscriptions.TryGetValue(key, out HashSet<WakeupSubscription>? subscriptions)) _subscriptions[key] = subscriptions = [];
                subscriptions.Add(subscription);
            }
        }
        return subscription;
    }

    public void Notify(string key)
    {
        lock (_lock)
        {
            if (!_subscriptions.TryGetValue(key, out HashSet<WakeupSubscription>? subscriptions)) return;
            foreach (WakeupSubscription subscription in subscriptions) subscription.Notify();
        }
    }

    /// <summary>Wakes everybody: something may have been missed.</summary>
    public void NotifyAll()
    {
        lock (_lock)
        {
            foreach (WakeupSubscription subscription in _subscriptions.Values.SelectMany(bells => bells)) subscription.Notify();
        }
    }

    internal void Unsubscribe(WakeupSubscription subscription, IReadOnlyCollection<string> keys)
    {
        lock (_lock)
        {
            foreach (string key in keys)
            {
                if (_subscriptions.TryGetValue(key, out HashSet<WakeupSubscription>? subscriptions) && subscriptions.Remove(subscription) && subscriptions.Count == 0) _subscriptions.Remove(key);
            }
        }
    }
}

/// <summary>One listener. It stays rung until it is waited for, and has one waiter.</summary>
internal sealed class WakeupSubscription(WakeupHub hub, IReadOnlyCollection<string> keys) : IDisposable
{
    private TaskCompletionSource _signal = NewSignal();

    public void Notify() => Volatile.Read(ref _signal).TrySetResult();

    /// <summary>True when it has rung, false when the time was up.</summary>
    public async Task<bool> WaitAsync(TimeSpan timeout, TimeProvider time, CancellationToken cancellationToken)
    {
        TaskCompletionSource current = Volatile.Read(ref _signal);
        await current.Task.WaitAsync(timeout, time, cancellationToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        cancellationToken.ThrowIfCancellationRequested();
        if (!current.Task.IsCompleted) return false;
        Volatile.Write(ref _signal, NewSignal()); // a ring before this line is answered by the look that follows the wait
        return true;
    }

    public void Dispose() => hub.Unsubscribe(this, keys);

    private static TaskCompletionSource NewSignal() => new(TaskCreationOptions.RunContinuationsAsynchronously);
}
