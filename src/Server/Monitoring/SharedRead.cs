namespace Ndif.Server.Monitoring;

/// <summary>
/// A value that is read once for all callers that ask at the same time, and kept for a short time, so that what it costs does not depend on
/// how many ask. A failed read is not kept.
/// </summary>
/// <param name="readAsync">Reads the value. It has no cancellation token, because no caller may cancel what others wait for.</param>
/// <param name="lifetime">How long a value is kept from the start of its read.</param>
internal sealed class SharedRead<T>(Func<Task<T>> readAsync, TimeSpan lifetime, TimeProvider time)
{
    private readonly Lock _lock = new();
    private Task<T>? _read;
    private long _started;

    /// <summary>Returns the kept value, or waits for the read that is in progress, or starts one.</summary>
    public Task<T> GetAsync(CancellationToken cancellationToken)
    {
        Task<T> shared;
        lock (_lock)
        {
            bool isExpired = _read is null || (_read.IsCompleted
                && (!_read.IsCompletedSuccessfully || time.GetElapsedTime(_started) >= lifetime));
            if (isExpired)
            {
                _started = time.GetTimestamp();
                _read = readAsync();
            }
            shared = _read!;
        }
        return shared.WaitAsync(cancellationToken);
    }
}
