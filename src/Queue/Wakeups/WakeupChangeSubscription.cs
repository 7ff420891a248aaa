namespace Ndif.Queue.Wakeups;

/// <summary>Combines one or more wake-up subscriptions into the change subscription that <see cref="IDeployments"/> returns.</summary>
internal sealed class WakeupChangeSubscription(
    WakeupSubscription first, TimeProvider time, params IReadOnlyList<WakeupSubscription> others) : IChangeSubscription
{
    /// <inheritdoc/>
    public async Task WaitAsync(TimeSpan timeout, CancellationToken cancellationToken = default)
    {
        if (others.Count == 0)
        {
            await first.WaitAsync(timeout, time, cancellationToken);
            return;
        }
        using var signaled = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        Task[] waits =
            [first.WaitAsync(timeout, time, signaled.Token), .. others.Select(other => other.WaitAsync(timeout, time, signaled.Token))];
        await Task.WhenAny(waits);
        await signaled.CancelAsync();
        await Task.WhenAll(waits).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        cancellationToken.ThrowIfCancellationRequested();
    }

    public void Dispose()
    {
        first.Dispose();
        foreach (WakeupSubscription other in others) other.Dispose();
    }
}
