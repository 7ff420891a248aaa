using System.Net;
using StackExchange.Redis;

namespace Ndif.Queue.Redis;

/// <summary>
/// Classifies the failures of Redis commands, and says what an operator can do. A passing failure ends by itself or by an operator, and
/// the same command succeeds afterwards: a lost connection, a server that loads its data, fails over, is full or busy.
/// </summary>
public static class RedisFailures
{
    /// <summary>The first words of the errors of a server that answers later: what they mean, and what to do.</summary>
    private static readonly OrderedDictionary<string, (string Cause, string? Advice)> _passing = new(StringComparer.Ordinal)
    {
        ["WRONGPASS"] = ("Redis refuses the user or the password",
            "Redis refuses the user name or the password (WRONGPASS). Check `user` and `password` in --redis (or NDIF_REDIS)."),
        ["NOAUTH"] = ("Redis requires a password",
            "Redis requires a password (NOAUTH), or refuses the one given. Use --redis host:port,password=... (or NDIF_REDIS)."),
        ["NOPERM"] = ("the Redis user lacks a permission",
            "The Redis user may not run the commands of the service (NOPERM). It needs the keys and channels of the prefix: "
            + "ACL SETUSER <user> on ><password> ~ndif:* &ndif:* +@all -@dangerous +info +config|get."),
        ["LOADING"] = ("Redis loads its data", "Redis is loading its data. Wait until it is ready."),
        ["MISCONF"] = ("Redis cannot write its data to disk",
            "Redis cannot write its data to disk (MISCONF). Free space on its disk; its log has the reason."),
        ["OOM"] = ("the memory of Redis is full", "Redis has no memory left (OOM). Raise maxmemory, or shorten Queue:Retention."),
        ["EXECABORT"] = ("Redis loads its data", null),
        ["BUSY"] = ("Redis is busy with a script", null),
        ["MASTERDOWN"] = ("Redis has lost its primary server", null),
        ["READONLY"] = ("Redis is a replica and accepts no changes", null),
        ["CLUSTERDOWN"] = ("Redis fails over", null),
        ["TRYAGAIN"] = ("Redis fails over", null),
        ["NOREPLICAS"] = ("Redis has too few replicas to accept changes", null),
        ["NOSCRIPT"] = ("Redis has lost the scripts of the queue", null),
    };

    /// <summary>
    /// Returns one sentence for an operator, with what to do. StackExchange.Redis reports a refused password as a connection that cannot
    /// be opened, so the messages of the inner exceptions count too.
    /// </summary>
    /// <param name="address">Where the connection was to be opened, if it is known. Only its host names and ports are shown.</param>
    /// <param name="waited">How long no answer came; null if there was an answer, or the connection failed at once.</param>
    public static string Describe(Exception failure, ConfigurationOptions? address = null, TimeSpan? waited = null)
    {
        string text = string.Join(" ", GetMessages(failure));
        string[] words = text.Split([' ', ':', ',', '(', ')'], StringSplitOptions.RemoveEmptyEntries);
        foreach ((string code, (_, string? advice)) in _passing)
            if (advice is not null && words.Contains(code)) return advice;
        if (text.Contains("invalid password", StringComparison.OrdinalIgnoreCase)) return _passing["WRONGPASS"].Advice!;
        return text.Contains("AuthenticationFailure", StringComparison.Ordinal)
            || text.Contains("authentication failure", StringComparison.OrdinalIgnoreCase) ? _passing["NOAUTH"].Advice!
            : waited is { } time ? $"Redis did not answer within {time.TotalSeconds:0} s at {FormatAddress()}. It is overloaded or hangs "
                + "(`redis-cli -h HOST ping`; its log and `SLOWLOG GET` have the reason), a firewall drops the connection, or something "
                + "else listens there."
            : $"Redis does not respond at {FormatAddress()}. Check --redis (or NDIF_REDIS), and that Redis is running.";

        string FormatAddress() => address is null ? "the given address" : string.Join(", ", address.EndPoints.Select(Format));

        static string Format(EndPoint at) => at is DnsEndPoint name ? $"{name.Host}:{name.Port}" : $"{at}";
    }

    private static IEnumerable<string> GetMessages(Exception failure)
    {
        for (Exception? at = failure; at is not null; at = at.InnerException)
        {
            yield return at.Message;
            if (at is RedisConnectionException connection) yield return connection.FailureType.ToString();
        }
    }

    /// <summary>Returns whether a command that failed in this way succeeds later.</summary>
    internal static bool IsPassing(Exception failure) => failure switch
    {
        RedisConnectionException or RedisTimeoutException => true,
        RedisServerException server => Explain(server.Message) is not null || IsRefusedClient(server.Message),
        _ => false,
    };

    /// <summary>Returns whether this is a failure of Redis, passing or not.</summary>
    internal static bool IsFailure(Exception failure) => failure is RedisException or RedisTimeoutException;

    /// <summary>Returns the cause in a few words that name no server and no data, or null if only the connection failed.</summary>
    internal static string? Explain(Exception failure) => failure switch
    {
        RedisConnectionException { FailureType: ConnectionFailureType.AuthenticationFailure } => _passing["WRONGPASS"].Cause,
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
        if (_passing.TryGetValue(first, out (string Cause, string?) known)) return known.Cause;
        if (first is not "ERR") return null;
        return message.Split([' ', ':', ','], StringSplitOptions.RemoveEmptyEntries)
            .Where(word => word.StartsWith('-'))
            .Select(word => _passing.GetValueOrDefault(word[1..]).Cause).FirstOrDefault(found => found is not null);
    }

    private static bool IsRefusedClient(string message) => message.Contains("max number of clients", StringComparison.Ordinal);
}
