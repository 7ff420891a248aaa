using System.Globalization;
using Ndif.Protocol;
using StackExchange.Redis;

namespace Ndif.Queue.Redis;

/// <summary>
/// Checks a Redis server: whether it can be used, its version, what it evicts, whether its data survive a restart, its clock.
/// </summary>
public static class RedisInspection
{
    private static readonly Version _minVersion = new(6, 2);
    private static readonly TimeSpan _maxClockSkew = TimeSpan.FromSeconds(5);

    /// <summary>Connects on a connection of its own, and checks.</summary>
    /// <param name="prefix">The prefix of the keys of the service, which the user of Redis must be allowed to read.</param>
    public static async Task<IReadOnlyList<Finding>> InspectAsync(
        string address, string prefix = "ndif:", CancellationToken cancellationToken = default)
    {
        try
        {
            ConfigurationOptions configuration = ConfigurationOptions.Parse(address);
            (configuration.AbortOnConnectFail, configuration.ConnectRetry, configuration.ConnectTimeout) = (true, 0, 3000);
            configuration.AllowAdmin = true; // INFO
            await using ConnectionMultiplexer connection =
                await ConnectionMultiplexer.ConnectAsync(configuration).WaitAsync(cancellationToken);
            TimeSpan roundTrip = await connection.GetDatabase().PingAsync().WaitAsync(cancellationToken);
            await connection.GetDatabase().KeyExistsAsync(prefix + "keys").WaitAsync(cancellationToken);
            List<Finding> findings = [new("redis", FindingLevel.Ok, $"It answers in {roundTrip.TotalMilliseconds:0.#} ms.")];
            foreach (System.Net.EndPoint endPoint in connection.GetEndPoints())
                findings.AddRange(await InspectAsync(connection.GetServer(endPoint)));
            if (configuration.Password is not { Length: > 0 })
                findings.Add(new Finding("redis password", FindingLevel.Warning, "Redis is used without a password.",
                    "Set `requirepass`, or a user with ACL SETUSER, and use --redis host:port,password=..."));
            return findings;
        }
        catch (Exception failure) when (failure is RedisException or RedisTimeoutException)
        {
            return [new Finding("redis", FindingLevel.Error, RedisFailures.Describe(failure))];
        }
    }

    private static async Task<IReadOnlyList<Finding>> InspectAsync(IServer server)
    {
        List<Finding> findings = [];
        Dictionary<string, string> info;
        try
        {
            info = (await server.InfoAsync()).SelectMany(section => section).DistinctBy(entry => entry.Key)
                .ToDictionary(entry => entry.Key, entry => entry.Value);
        }
        catch (RedisServerException refused)
        {
            return [new Finding("redis info", FindingLevel.Warning, $"INFO is refused: {refused.Message}",
                "Allow +info and +config|get, so that the service can check what Redis evicts and keeps.")];
        }
        if (Version.TryParse(info.GetValueOrDefault("redis_version"), out Version? version))
            findings.Add(version >= _minVersion ? new("redis version", FindingLevel.Ok, $"{version}")
                : new("redis version", FindingLevel.Error, $"Redis {version} is too old.", $"Use {_minVersion} or later."));
        string policy = info.GetValueOrDefault("maxmemory_policy", "");
        bool isBounded = info.GetValueOrDefault("maxmemory", "0") != "0";
        findings.Add(policy is "noeviction" or ""
            ? new("redis policy", FindingLevel.Ok, "maxmemory-policy is noeviction.")
            : new("redis policy", FindingLevel.Error, $"maxmemory-policy is {policy}: Redis deletes jobs when its memory is full.",
                "Set `maxmemory-policy noeviction` in redis.conf, or CONFIG SET maxmemory-policy noeviction."));
        if (!isBounded)
            findings.Add(new("redis memory", FindingLevel.Warning, "Redis has no maxmemory, so it can fill the machine.",
                "Set `maxmemory` to less than the memory of its machine or container."));
        bool hasAof = info.GetValueOrDefault("aof_enabled") == "1";
        findings.Add(hasAof ? new("redis persistence", FindingLevel.Ok, "The append-only file is on.")
            : new("redis persistence", FindingLevel.Warning, "The append-only file is off: a restart of Redis loses jobs.",
                "Set `appendonly yes` in redis.conf."));
        if (info.GetValueOrDefault("aof_last_write_status") == "err" || info.GetValueOrDefault("rdb_last_bgsave_status") == "err")
            findings.Add(new("redis disk", FindingLevel.Error, "Redis could not write its data to disk.",
                "Free space on its disk; its log has the reason."));
        TimeSpan skew = await server.TimeAsync() - DateTime.UtcNow;
        string apart = skew.Duration().TotalSeconds.ToString("0.#", CultureInfo.InvariantCulture);
        findings.Add(skew.Duration() <= _maxClockSkew ? new("clock", FindingLevel.Ok, $"{apart} s apart from that of Redis.")
            : new("clock", FindingLevel.Error, $"The clock of this machine and that of Redis are {apart} s apart.",
                "Synchronize both with NTP: keys expire and blobs are deleted by the clock."));
        return findings;
    }
}
