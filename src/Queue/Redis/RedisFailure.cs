using StackExchange.Redis;

namespace Ndif.Queue.Redis;

/// <summary>Says what is wrong with Redis: StackExchange.Redis reports a refused password as a connection that cannot be opened.</summary>
public static class RedisFailure
{
    /// <summary>Returns one sentence for an operator, with what to do.</summary>
    public static string Describe(Exception failure)
    {
        string text = string.Join(" ", GetMessages(failure));
        if (text.Contains("WRONGPASS", StringComparison.Ordinal) || text.Contains("invalid password", StringComparison.OrdinalIgnoreCase))
            return "Redis refuses the user name or the password (WRONGPASS). Check `user` and `password` in --redis (or NDIF_REDIS).";
        if (text.Contains("NOAUTH", StringComparison.Ordinal) || text.Contains("AuthenticationFailure", StringComparison.Ordinal)
            || text.Contains("authentication failure", StringComparison.OrdinalIgnoreCase))
            return "Redis requires a password (NOAUTH), or refuses the one given. Use --redis host:port,password=... (or NDIF_REDIS).";
        if (text.Contains("NOPERM", StringComparison.Ordinal))
            return "The Redis user may not run the commands of the service (NOPERM). It needs the keys "
                + "and channels of the prefix: ACL SETUSER <user> on ><password> ~ndif:* &ndif:* +@all -@dangerous +info +config|get.";
        if (text.Contains("LOADING", StringComparison.Ordinal))
            return "Redis is loading its data. Wait until it is ready.";
        if (text.Contains("MISCONF", StringComparison.Ordinal))
            return "Redis cannot write its data to disk (MISCONF). Free space on its disk; its log has the reason.";
        if (text.Contains("OOM ", StringComparison.Ordinal))
            return "Redis has no memory left (OOM). Raise maxmemory, or shorten Queue:Retention.";
        return "Redis does not respond at the given address. Check --redis (or NDIF_REDIS), and that Redis is running.";
    }

    private static IEnumerable<string> GetMessages(Exception failure)
    {
        for (Exception? at = failure; at is not null; at = at.InnerException)
        {
            yield return at.Message;
            if (at is RedisConnectionException connection) yield return connection.FailureType.ToString();
        }
    }
}
