using System.Diagnostics;
using System.Globalization;
using Ndif.Protocol;
using StackExchange.Redis;

namespace Ndif.Queue.Redis;

/// <summary>
/// Checks a Redis server: whether it can be used, its version, what it evicts, whether its data survive a restart, its clock.
/// </summary>
public static class RedisInspection
{
    private static readonly Version _minVersion = new(7, 0);
    private static readonly TimeSpan _maxClockSkew = TimeSpan.FromSeconds(5);

    /// <summary>A program takes some ten commands, one after the other, from the submission to its end.</summary>
    private static readonly TimeSpan _maxRoundTrip = TimeSpan.FromMilliseconds(100);

    /// <summary>Long enough for an answer of a slow server, which is not the same as none.</summary>
    private static readonly TimeSpan _timeout = TimeSpan.FromSeconds(15);

    /// <summary>Connects on a connection of its own, and checks.</summary>
    /// <param name="prefix">The prefix of the keys of the service, which the user of Redis must be allowed to read.</param>
    /// <param name="queueBytes">The bytes that all keys may store in the queue (Gateway:TotalQueueBytes), if they are known.</param>
    public static async Task<IReadOnlyList<CheckResult>> InspectAsync(
        string address, string prefix = "ndif:", long? queueBytes = null, CancellationToken cancellationToken = default)
    {
        ConfigurationOptions configuration = ConfigurationOptions.Parse(address);
        long start = Stopwatch.GetTimestamp();
        try
        {
            (configuration.AbortOnConnectFail, configuration.ConnectRetry) = (true, 0);
            configuration.ConnectTimeout = configuration.AsyncTimeout = (int)_timeout.TotalMilliseconds;
            configuration.AllowAdmin = true; // INFO
            await using ConnectionMultiplexer connection =
                await ConnectionMultiplexer.ConnectAsync(configuration).WaitAsync(cancellationToken);
            TimeSpan roundTrip = await connection.GetDatabase().PingAsync().WaitAsync(cancellationToken);
            await connection.GetDatabase().KeyExistsAsync(prefix + "keys").WaitAsync(cancellationToken);
            List<CheckResult> results = [DescribeRoundTrip(roundTrip)];
            foreach (System.Net.EndPoint endPoint in connection.GetEndPoints())
                results.AddRange(await InspectAsync(connection.GetServer(endPoint), prefix, queueBytes));
            if (configuration.Password is not { Length: > 0 })
                results.Add(new CheckResult("redis password", CheckLevel.Warning, "Redis is used without a password.",
                    "Set `requirepass`, or a user with ACL SETUSER, and use --redis host:port,password=..."));
            return results;
        }
        catch (Exception failure) when (failure is RedisException or RedisTimeoutException)
        {
            // a timer may end some milliseconds early
            TimeSpan? waited = Stopwatch.GetElapsedTime(start) < 0.9 * _timeout ? null : _timeout;
            return [new CheckResult("redis", CheckLevel.Error, RedisFailures.Describe(failure, configuration, waited))];
        }
    }

    private static CheckResult DescribeRoundTrip(TimeSpan roundTrip) => roundTrip < _maxRoundTrip
        ? new("redis", CheckLevel.Ok, $"It answers in {roundTrip.TotalMilliseconds:0.#} ms.")
        : new("redis", CheckLevel.Warning,
            string.Create(CultureInfo.InvariantCulture, $"It is slow: it answered after {roundTrip.TotalSeconds:0.0} s, and a job needs ")
            + "several answers, one after the other.",
            "`redis-cli --latency` and `SLOWLOG GET` show whether it is the network or Redis: a slow disk, swapping, a busy processor, "
            + "long commands of other users.");

    private static async Task<IReadOnlyList<CheckResult>> InspectAsync(IServer server, string prefix, long? queueBytes)
    {
        List<CheckResult> results = [];
        Dictionary<string, string> info;
        try
        {
            info = (await server.InfoAsync()).SelectMany(section => section).DistinctBy(entry => entry.Key)
                .ToDictionary(entry => entry.Key, entry => entry.Value);
        }
        catch (RedisServerException refused)
        {
            return [new CheckResult("redis info", CheckLevel.Warning, $"INFO is refused: {refused.Message}",
                "Allow +info and +config|get, so that the service can check what Redis evicts and keeps.")];
        }
        if (Version.TryParse(info.GetValueOrDefault("redis_version"), out Version? version))
            results.Add(version >= _minVersion ? new("redis version", CheckLevel.Ok, $"{version}")
                : new("redis version", CheckLevel.Error, $"Redis {version} is too old.", $"Use {_minVersion} or later."));
        string policy = info.GetValueOrDefault("maxmemory_policy", "");
        _ = long.TryParse(info.GetValueOrDefault("maxmemory"), CultureInfo.InvariantCulture, out long maxMemory); // 0: none
        results.Add(policy is "noeviction" or ""
            ? new("redis policy", CheckLevel.Ok, "maxmemory-policy is noeviction.")
            : new("redis policy", CheckLevel.Error, $"maxmemory-policy is {policy}: Redis deletes jobs when its memory is full.",
                "Set `maxmemory-policy noeviction` in redis.conf, or CONFIG SET maxmemory-policy noeviction."));
        if (maxMemory == 0)
            results.Add(new("redis memory", CheckLevel.Warning, "Redis has no maxmemory, so it can fill the machine.",
                "Set `maxmemory` to less than the memory of its machine or container."));
        else if (queueBytes > maxMemory / 2)
            results.Add(new("redis memory", CheckLevel.Warning,
                $"maxmemory is {maxMemory / 1e9:0.#} GB, and more than half of it may be stored ({queueBytes / 1e9:0.#} GB): "
                + "Redis may be full before the gateways refuse jobs.", "Set Gateway:TotalQueueBytes to at most half of maxmemory."));
        bool hasAof = info.GetValueOrDefault("aof_enabled") == "1";
        results.Add(hasAof ? new("redis persistence", CheckLevel.Ok, "The append-only file is on.")
            : new("redis persistence", CheckLevel.Warning, "The append-only file is off: a restart of Redis loses jobs.",
                "Set `appendonly yes` in redis.conf."));
        if (hasAof) results.Add(await CheckDefaultUserAsync(server, prefix));
        if (info.GetValueOrDefault("aof_last_write_status") == "err" || info.GetValueOrDefault("rdb_last_bgsave_status") == "err")
            results.Add(new("redis disk", CheckLevel.Error, "Redis could not write its data to disk.",
                "Free space on its disk; its log has the reason."));
        DateTime before = DateTime.UtcNow;
        DateTime redisTime = await server.TimeAsync();
        TimeSpan skew = redisTime - (before + (DateTime.UtcNow - before) / 2); // the answer was on its way for half of the time
        string apart = skew.Duration().TotalSeconds.ToString("0.#", CultureInfo.InvariantCulture);
        results.Add(skew.Duration() <= _maxClockSkew ? new("clock", CheckLevel.Ok, $"{apart} s apart from that of Redis.")
            : new("clock", CheckLevel.Error, $"The clock of this machine and that of Redis are {apart} s apart.",
                "Synchronize both with NTP: keys expire and blobs are deleted by the clock."));
        return results;
    }

    /// <summary>
    /// Redis replays the transactions and scripts of its append-only file with the rights of the user `default`, and drops those that it
    /// has no right to, without an error to anybody (https://github.com/redis/redis/issues/14541).
    /// </summary>
    private static async Task<CheckResult> CheckDefaultUserAsync(IServer server, string prefix)
    {
        const string Check = "redis default user", Advice = "Use `user default off ~* &* +@all`: nobody can log in as a user that is off. "
            + "See deploy/redis/README.md.";
        try
        {
            string? answer = (string?)await server.ExecuteAsync("ACL", "DRYRUN", "default", "HSET", prefix + "job", "state", "1");
            return answer is "OK" ? new(Check, CheckLevel.Ok, "It has the rights to read the append-only file again.")
                : new(Check, CheckLevel.Error,
                    "The user `default` has not all rights, so a restart of Redis loses what the service has written since the last "
                    + "rewrite of the append-only file.", Advice);
        }
        catch (RedisServerException refused)
        {
            return new(Check, CheckLevel.Warning, $"The rights of the user `default`, which reads the append-only file, are unknown: "
                + $"{refused.Message}", $"Allow +acl|dryrun. {Advice}");
        }
    }
}
