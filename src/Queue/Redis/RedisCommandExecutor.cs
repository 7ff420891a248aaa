using StackExchange.Redis;

namespace Ndif.Queue.Redis;

/// <summary>
/// Executes Redis commands and scripts so that they survive a short loss of the connection:
/// 1. Without a connection, StackExchange.Redis queues a command for about five seconds.
/// 2. A command whose connection breaks after it was sent may or may not have been executed. It is sent once more, and each script
///    handles its own repetition (<c>again</c> in common.lua).
/// 3. If that fails too, the call throws an UNAVAILABLE <see cref="NdifException"/>. A failure that does not pass is INTERNAL.
/// No other exception of Redis leaves this class.
/// </summary>
internal sealed class RedisCommandExecutor(IConnectionMultiplexer connection, RedisKeys keys)
{
    private static readonly TimeSpan _minDelay = TimeSpan.FromMilliseconds(50), _maxDelay = TimeSpan.FromSeconds(1);

    private readonly IDatabase _database = connection.GetDatabase();

    public Task<RedisResult> ExecuteScriptAsync(RedisScript script, params RedisValue[] arguments) =>
        ExecuteWithRetryAsync(script.Name, again => EvaluateAsync(script, [again ? 1 : 0, .. arguments]));

    /// <summary>Executes a script as soon as Redis can be reached, until cancelled.</summary>
    /// <exception cref="NdifException">UNAVAILABLE: cancelled while Redis could not be reached. INTERNAL: the script failed.</exception>
    public async Task<RedisResult> ExecuteScriptWhenReachableAsync(
        RedisScript script, CancellationToken cancellationToken, params RedisValue[] arguments)
    {
        TimeSpan delay = _minDelay;
        for (bool again = false; ; again = true)
        {
            try
            {
                return await EvaluateAsync(script, [again ? 1 : 0, .. arguments]);
            }
            catch (Exception failure) when (RedisFailures.IsPassing(failure))
            {
                await Task.Delay(delay, cancellationToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
                if (cancellationToken.IsCancellationRequested) throw ToNdifException(script.Name, failure);
                delay = delay < _maxDelay ? 2 * delay : delay;
            }
            catch (Exception failure) when (RedisFailures.IsFailure(failure))
            {
                throw ToNdifException(script.Name, failure);
            }
        }
    }

    /// <summary>Executes plain commands. They must be idempotent, because they may be executed twice.</summary>
    public Task<T> ExecuteAsync<T>(string operation, Func<IDatabase, Task<T>> call) =>
        ExecuteWithRetryAsync(operation, _ => call(_database));

    private static async Task<T> ExecuteWithRetryAsync<T>(string operation, Func<bool, Task<T>> call)
    {
        try
        {
            return await call(false);
        }
        catch (RedisConnectionException notSent) when (notSent.CommandStatus is CommandStatus.WaitingInBacklog)
        {
            throw ToNdifException(operation, notSent);
        }
        catch (Exception first) when (RedisFailures.IsPassing(first))
        {
            try
            {
                return await call(true);
            }
            catch (Exception second) when (RedisFailures.IsFailure(second))
            {
                throw ToNdifException(operation, second);
            }
        }
        catch (Exception failure) when (RedisFailures.IsFailure(failure))
        {
            throw ToNdifException(operation, failure);
        }
    }

    private static Exception ToNdifException(string operation, Exception failure) => RedisFailures.IsPassing(failure)
        ? QueueErrors.Unavailable(operation, failure, RedisFailures.Explain(failure))
        : QueueErrors.CommandFailed(operation, failure);

    private async Task<RedisResult> EvaluateAsync(RedisScript script, RedisValue[] arguments)
    {
        try
        {
            return await _database.ScriptEvaluateAsync(script.Hash, [keys.Prefix], arguments);
        }
        catch (RedisServerException unknown) when (unknown.Message.StartsWith("NOSCRIPT", StringComparison.Ordinal))
        {
            // a new server, or its script cache was flushed
            return await _database.ScriptEvaluateAsync(script.Text, [keys.Prefix], arguments);
        }
    }
}
