namespace Ndif.Queue;

/// <summary>
/// Wake-ups within a process. Whoever waits for news of a key listens first and looks then, so that nothing can happen unheard
/// between the look and the wait.
/// </summary>
internal sealed class Bells
{
    private readonly Lock gate = new();
    private readonly Dictionary<string, HashSet<Bell>> listeners = [];

    /// <summary>A bell that rings on news of any of these keys, until it is disposed.</summary>
    public Bell Listen(params IReadOnlyCollection<string> keys)
    {
        var bell = new Bell(this, keys);
        lock (gate)
        {
            foreach (string key in keys)
            {
                if (!listeners.TryGetValue(key, out HashSet<Bell>? bells)) listeners[key] = bells = [];
                bells.Add(bell);
            }
        }
        return bell;
    }

    public void Ring(string key)
    {
        lock (gate)
        {
            if (!listeners.TryGetValue(key, out HashSet<Bell>? bells)) return;
            foreach (Bell bell in bells) bell.Ring();
        }
    }

    /// <summary>Wakes everybody: something may have been missed.</summary>
    public void RingAll()
    {
        lock (gate)
        {
            foreach (Bell bell in listeners.Values.SelectMany(bells => bells)) bell.Ring();
        }
    }

    internal void Leave(Bell bell, IReadOnlyCollection<string> keys)
    {
        lock (gate)
        {
            foreach (string key in keys)
            {
                if (listeners.TryGetValue(key, out HashSet<Bell>? bells) && bells.Remove(bell) && bells.Count == 0) listeners.Remove(key);
            }
        }
    }
}

/// <summary>One listener. It stays rung until it is waited for, and has one waiter.</summary>
internal sealed class Bell(Bells tower, IReadOnlyCollection<string> keys) : IDisposable
{
    private TaskCompletionSource rung = Silent();

    public void Ring() => Volatile.Read(ref rung).TrySetResult();

    /// <summary>True when it has rung, false when the time was up.</summary>
    public async Task<bool> WaitAsync(TimeSpan timeout, TimeProvider time, CancellationToken cancellationToken)
    {
        TaskCompletionSource current = Volatile.Read(ref rung);
        await current.Task.WaitAsync(timeout, time, cancellationToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        cancellationToken.ThrowIfCancellationRequested();
        if (!current.Task.IsCompleted) return false;
        Volatile.Write(ref rung, Silent()); // a ring before this line is answered by the look that follows the wait
        return true;
    }

    public void Dispose() => tower.Leave(this, keys);

    private static TaskCompletionSource Silent() => new(TaskCreationOptions.RunContinuationsAsynchronously);
}
