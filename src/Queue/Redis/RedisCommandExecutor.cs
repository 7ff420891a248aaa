using StackExchange.Redis;

namespace Ndif.Queue.Redis;

/// <summary>
/// Calls to Redis that survive a short loss of the connection. Without a connection the client holds a command back for about five
/// seconds. A command whose connection breaks after it was sent may have been done or not; it is tried once more, and each script
/// knows how to be tried again (<c>again</c> in common.lua). What fails then is an UNAVAILABLE <see cref="NdifException"/>.
/// </summary>
internal sealed class RedisCommandExecutor(IConnectionMultiplexer connection, RedisKeys keys)
{
    private readonly IDatabase _database = connection.GetDatabase();

    public Task<RedisResult> ExecuteScriptAsync(RedisScript script, params RedisValue[] arguments) =>
        ExecuteWithRetryAsync(script.Name, again => EvaluateAsync(script, [again ? 1 : 0, .. arguments]));

    /// <summary>For plain commands, which may be done twice.</summary>
    public Task<T> ExecuteAsync<T>(string operation, Func<IDatabase, Task<T>> call) => ExecuteWithRetryAsync(operation, _ => call(_database));

    private static async Task<T> ExecuteWithRetryAsync<T>(string operation, Func<bool, Task<T>> call)
    {
        try
        {
            return await call(false);
        }
        catch (RedisConnectionException waited) when (waited.CommandStatus is CommandStatus.WaitingInBacklog)
        {
            throw QueueErrors.Unavailable(operation, waited);
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
            return await _database.ScriptEvaluateAsync(script.Text, [keys.Prefix], arguments); // a new server, or a flushed one
        }
    }

    /// <summary>A server that starts, fails over or is full is as good as none.</summary>
    private static bool IsConnectionFailure(Exception exception) => exception switch
    {
        RedisConnectionException or RedisTimeoutException => true,
        RedisServerException server => server.Message.Split(' ')[0] is "LOADING" or "READONLY" or "MASTERDOWN" or "MISCONF" or "OOM" or "NOREPLICAS",
        _ => false,
    };
}
