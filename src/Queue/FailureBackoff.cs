using Microsoft.Extensions.Logging;
using Ndif.Protocol;
using Ndif.Queue.Redis;

namespace Ndif.Queue;

/// <summary>
/// Lets a background loop go on after a failure: the first failure of a series, and each of another kind, is logged; the pause before the
/// next attempt doubles; the end of the series is logged too. No failure of the queue ends a loop.
/// </summary>
/// <param name="task">What the loop does, for the log: "heartbeat".</param>
public sealed class FailureBackoff(string task, ILogger logger, TimeProvider time, TimeSpan? minDelay = null, TimeSpan? maxDelay = null)
{
    private static readonly TimeSpan _defaultMinDelay = TimeSpan.FromMilliseconds(100), _defaultMaxDelay = TimeSpan.FromSeconds(2);

    private readonly TimeSpan _minDelay = minDelay ?? _defaultMinDelay, _maxDelay = maxDelay ?? _defaultMaxDelay;
    private string? _logged;
    private long _firstFailure;
    private TimeSpan _delay;

    /// <summary>Returns whether a failure ends by itself or by an operator, so that the same call succeeds later.</summary>
    public static bool IsPassing(Exception failure) =>
        failure is NdifException { Retryable: true } || RedisFailures.IsPassing(failure);

    /// <summary>Notes that an attempt succeeded.</summary>
    public void Succeeded()
    {
        if (_logged is null) return;
        Log.LoopRecovered(logger, task, time.GetElapsedTime(_firstFailure).TotalSeconds);
        (_logged, _delay) = (null, TimeSpan.Zero);
    }

    /// <summary>Notes that an attempt failed, and logs it unless the last one failed in the same way.</summary>
    public void Failed(Exception failure)
    {
        if (_logged is null) _firstFailure = time.GetTimestamp();
        _delay = _delay == TimeSpan.Zero ? _minDelay : 2 * _delay < _maxDelay ? 2 * _delay : _maxDelay;
        if (_logged == failure.Message) return;
        _logged = failure.Message;
        if (IsPassing(failure))
            Log.LoopWaits(logger, task, RedisFailures.IsFailure(failure) ? RedisFailures.Describe(failure) : failure.Message);
        else Log.LoopFailed(logger, task, failure);
    }

    /// <summary>Notes that an attempt failed, and waits before the next one. Returns early when cancelled.</summary>
    public async Task WaitAsync(Exception failure, CancellationToken cancellationToken)
    {
        Failed(failure);
        await Task.Delay(_delay, time, cancellationToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
    }

    /// <summary>Repeats a call until it succeeds or is cancelled.</summary>
    public async Task RepeatAsync(Func<Task> call, CancellationToken cancellationToken)
    {
        while (true)
        {
            try
            {
                await call();
                Succeeded();
                return;
            }
            catch (Exception failure) when (!cancellationToken.IsCancellationRequested && failure is not OperationCanceledException)
            {
                await WaitAsync(failure, cancellationToken);
                cancellationToken.ThrowIfCancellationRequested();
            }
        }
    }
}
