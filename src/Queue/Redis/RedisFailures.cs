using StackExchange.Redis;

namespace Ndif.Queue.Redis;

/// <summary>
/// Classifies the failures of Redis commands. A passing failure ends by itself or by an operator, and the same command succeeds
/// afterwards: a lost connection, a server that loads its data, fails over, is full or busy.
/// </summary>
internal static class RedisFailures
{
    /// <summary>The first words of the errors of a server that answers later, and what they mean.</summary>
    private static readonly Dictionary<string, string> _passing = new(StringComparer.Ordinal)
    {
        ["LOADING"] = "Redis loads its data",
        ["EXECABORT"] = "Redis loads its data",
        ["BUSY"] = "Redis is busy with a script",
        ["MASTERDOWN"] = "Redis has lost its primary server",
        ["READONLY"] = "Redis is a replica and accepts no changes",
        ["CLUSTERDOWN"] = "Redis fails over",
        ["TRYAGAIN"] = "Redis fails over",
        ["NOREPLICAS"] = "Redis has too few replicas to accept changes",
        ["MISCONF"] = "Redis cannot write its data to disk",
        ["OOM"] = "the memory of Redis is full",
        ["NOSCRIPT"] = "Redis has lost the scripts of the queue",
        ["NOAUTH"] = "Redis requires a password",
        ["WRONGPASS"] = "Redis refuses the user or the password",
        ["NOPERM"] = "the Redis user lacks a permission",
    };

    /// <summary>Returns whether a command that failed in this way succeeds later.</summary>
    public static bool IsPassing(Exception failure) => failure switch
    {
        RedisConnectionException or RedisTimeoutException => true,
        RedisServerException server => Explain(server.Message) is not null || IsRefusedClient(server.Message),
        _ => false,
    };

    /// <summary>Returns whether this is a failure of Redis, passing or not.</summary>
    public static bool IsFailure(Exception failure) => failure is RedisException or RedisTimeoutException;

    /// <summary>Returns the cause in a few words that name no server and no data, or null if only the connection failed.</summary>
    public static string? Explain(Exception failure) => failure switch
    {
        RedisConnectionException { FailureType: ConnectionFailureType.AuthenticationFailure } => _passing["WRONGPASS"],
        RedisServerException server => Explain(server.Message),
        _ => null,
    };

    /// <summary>
    /// The error of a command begins with its code. That of a command inside a script may follow the text of the script's own error, after
    /// a hyphen.
    /// </summary>
    private static string? Explain(string message)
    {
        string first = message.Split(' ', 2)[0].TrimStart('-');
        if (_passing.TryGetValue(first, out string? cause)) return cause;
        if (first is not "ERR") return null;
        return message.Split([' ', ':', ','], StringSplitOptions.RemoveEmptyEntries)
            .Where(word => word.StartsWith('-'))
            .Select(word => _passing.GetValueOrDefault(word[1..])).FirstOrDefault(found => found is not null);
    }

    private static bool IsRefusedClient(string message) => message.Contains("max number of clients", StringComparison.Ordinal);
}
