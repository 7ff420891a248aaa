using StackExchange.Redis;

namespace Ndif.Queue.Redis;

/// <summary>
/// Executes Redis commands and scripts so that they survive a short loss of the connection:
/// 1. Without a connection, StackExchange.Redis queues a command for about five seconds.
/// 2. A command whose connection breaks after it was sent may or may not have been executed. It is sent once more, and each script
///    handles its own repetition (<c>again</c> in common.lua).
/// 3. If that fails too, the call throws an UNAVAILABLE <see cref="NdifException"/>.
/// </summary>
internal sealed class RedisCommandExecutor(IConnectionMultiplexer connection, RedisKeys keys)
{
    private readonly IDatabase _database = connection.GetDatabase();

    public Task<RedisResult> ExecuteScriptAsync(RedisScript script, params RedisValue[] arguments) =>
        ExecuteWithRetryAsync(script.Name, again => EvaluateAsync(script, [again ? 1 : 0, .. arguments]));

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
            throw QueueErrors.Unavailable(operation, notSent);
        }
        catch (Exception first) when (IsConnectionFailure(first))
        {
            try
            {
                return await call(true);
            }
            catch (Exception second) when (IsConnectionFailure(second))
            {
                throw QueueErrors.Unavailable(operation, second);
            }
        }
    }

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

    /// <summary>Treats a server that is loading, failing over, read-only or out of memory like a lost connection.</summary>
    private static bool IsConnectionFailure(Exception exception) => exception switch
    {
        RedisConnectionException or RedisTimeoutException => true,
        RedisServerException server =>
            server.Message.Split(' ')[0] is "LOADING" or "READONLY" or "MASTERDOWN" or "MISCONF" or "OOM" or "NOREPLICAS",
        _ => false,
    };
}
