namespace Ndif.Queue.Wakeups;

/// <summary>
/// In-process publish/subscribe of wake-ups by key. A wake-up carries no data: subscribe first, read the state, then wait, so that no
/// change between the read and the wait is missed.
/// </summary>
internal sealed class WakeupHub
{
    private readonly Lock _lock = new();
    private readonly Dictionary<string, HashSet<WakeupSubscription>> _subscriptions = [];

    /// <summary>Creates a subscription to these keys. Dispose it to unsubscribe.</summary>
    public WakeupSubscription Subscribe(params IReadOnlyCollection<string> keys)
    {
        var subscription = new WakeupSubscription(this, keys);
        lock (_lock)
        {
            foreach (string key in keys)
            {
                if (!_subscriptions.TryGetValue(key, out HashSet<WakeupSubscription>? subscriptions))
                    _subscriptions[key] = subscriptions = [];
                subscriptions.Add(subscription);
            }
        }
        return subscription;
    }

    /// <summary>Wakes the subscribers of a key.</summary>
    public void Notify(string key)
    {
        lock (_lock)
        {
            if (!_subscriptions.TryGetValue(key, out HashSet<WakeupSubscription>? subscriptions)) return;
            foreach (WakeupSubscription subscription in subscriptions) subscription.Notify();
        }
    }

    /// <summary>Wakes all subscribers, because notifications may have been missed or the queue was disposed.</summary>
    public void NotifyAll()
    {
        lock (_lock)
        {
            foreach (WakeupSubscription subscription in _subscriptions.Values.SelectMany(subscriptions => subscriptions))
                subscription.Notify();
        }
    }

    internal void Unsubscribe(WakeupSubscription subscription, IReadOnlyCollection<string> keys)
    {
        lock (_lock)
        {
            foreach (string key in keys)
            {
                if (!_subscriptions.TryGetValue(key, out HashSet<WakeupSubscription>? subscriptions)) continue;
                if (subscriptions.Remove(subscription) && subscriptions.Count == 0) _subscriptions.Remove(key);
            }
        }
    }
}
