namespace Ndif.Queue;

/// <summary>A subscription to changes; it signals that something changed, not what.</summary>
public interface IChangeSubscription : IDisposable
{
    /// <summary>Returns when something has changed since the subscription or the last wait, or when the timeout has elapsed.</summary>
    Task WaitAsync(TimeSpan timeout, CancellationToken cancellationToken = default);
}
