using Ndif.Protocol;
using Ndif.Queue.Redis;
using Ndif.Queue.Tests.Support;
using StackExchange.Redis;

namespace Ndif.Queue.Tests.Redis;

/// <summary>
/// Tests what the Redis user of the service may not do. All other tests run as this user and show that it may do what it needs.
/// </summary>
public sealed class LeastPrivilegeTests(RedisServer server)
{
    [Theory]
    [InlineData("FLUSHALL")]
    [InlineData("FLUSHDB")]
    [InlineData("KEYS", "*")]
    [InlineData("SCAN", "0")]
    [InlineData("CONFIG", "GET", "requirepass")]
    [InlineData("CONFIG", "SET", "dir", "/tmp")]
    [InlineData("ACL", "LIST")]
    [InlineData("SCRIPT", "FLUSH")]
    [InlineData("FUNCTION", "LIST")]
    [InlineData("SHUTDOWN", "NOSAVE")]
    [InlineData("REPLICAOF", "NO", "ONE")]
    [InlineData("CLIENT", "KILL", "ID", "1")]
    [InlineData("CLIENT", "LIST")]
    [InlineData("MONITOR")]
    [InlineData("SAVE")]
    [InlineData("MIGRATE", "127.0.0.1", "1", "ndif:x", "0", "1")]
    [InlineData("MODULE", "LIST")]
    [InlineData("GET", "other:key")]
    [InlineData("SET", "other:key", "1")]
    [InlineData("DEL", "other:key")]
    [InlineData("RENAME", "ndif:a", "other:key")]
    [InlineData("PUBLISH", "other:channel", "1")]
    [InlineData("EVAL", "return redis.call('FLUSHALL')", "0")]
    [InlineData("EVAL", "return redis.call('GET', 'other:key')", "0")]
    [InlineData("EVAL", "return redis.call('KEYS', '*')", "1", "ndif:")]
    public async Task OtherCommandsKeysAndChannels_AreRefused(string command, params string[] arguments)
    {
        RedisServerException refused = await Assert.ThrowsAsync<RedisServerException>(
            () => server.ServiceConnection.GetDatabase().ExecuteAsync(command, arguments));
        Assert.Matches("NOPERM|No permission|no permission|can't access|can't run|ACL failure", refused.Message);
    }

    [Fact]
    public async Task TheService_AsksForNothingThatItMayNot()
    {
        await using ConnectionMultiplexer operators = await ConnectionMultiplexer.ConnectAsync(server.ConnectionString);
        await using ConnectionMultiplexer service = await ConnectionMultiplexer.ConnectAsync(server.ServiceConnection.Configuration);
        IDatabase database = operators.GetDatabase();
        string name = $"least-{Guid.NewGuid():n}", prefix = $"ndif:{name}:";
        var options = new QueueOptions { Prefix = prefix, MaxAttempts = 1 };
        await using var queue = new RedisJobQueue(service, options);
        var registry = new RedisWorkerRegistry(service, options);
        CancellationToken cancel = TestContext.Current.CancellationToken;
        HashSet<string> before = [.. Denied(await database.ExecuteAsync("ACL", "LOG"))];

        ConfigurationOptions plain = ConfigurationOptions.Parse(server.ServiceConnection.Configuration);
        plain.AllowAdmin = false; // as in gateways
        await using ConnectionMultiplexer gateway = await ConnectionMultiplexer.ConnectAsync(plain);
        RedisReading reading = (await new RedisMonitor(gateway).ReadAsync(cancel))!;
        Assert.True(reading is { UsedMemory: > 100_000, EvictedKeys: 0, Latency.TotalSeconds: > 0 and < 2 }, $"{reading}");
        await registry.PublishHeartbeatAsync(new WorkerStatus { Id = "w" }, [new ModelStatus { Id = "gpt2" }], cancel);
        await registry.SetDescriptionAsync(new ModelDescription { Id = "gpt2" }, cancel);
        Assert.Single(await registry.ListWorkersAsync(cancel));
        for (int i = 0; i < 4; i++)
            await queue.SubmitAsync(new JobSubmission($"j{i}", "ana", "gpt2", new byte[] { 1 }, Quota: new Quota(10, 10, 10, 10)), cancel);
        Lease lease = (await queue.LeaseAsync("w", ["gpt2"], TimeSpan.Zero, cancel))!;
        await queue.RenewAsync(lease, cancel);
        await queue.ReplyAsync(lease.JobId, new LocalReply { Ticket = 1 }, cancel);
        Assert.NotNull(await queue.AwaitReplyAsync(lease, 1, TimeSpan.FromSeconds(5), cancel));
        await queue.PublishAsync(
            lease, new Event { State = new StateChanged { State = JobState.Completed, Usage = new Usage { Tokens = 1 } } }, cancel);
        await queue.CancelAsync("j1", "", cancel);
        await queue.ReturnAsync((await queue.LeaseAsync("w", ["gpt2"], TimeSpan.Zero, cancel))!, cancel);
        await queue.ReapExpiredLeasesAsync(cancel);
        await foreach (Event _ in queue.WatchAsync(lease.JobId, 1, cancel)) { }
        await queue.ListAsync("ana", 10, activeOnly: false, cancel);
        await queue.CountAsync(cancel);
        await queue.ListDeadLettersAsync(10, cancel);
        await queue.GetUsageAsync("", DateOnly.MinValue, DateOnly.MaxValue, cancel);
        await queue.DeleteAsync("j1", cancel);
        await registry.UnregisterAsync("w", cancel);

        string[] denied = [.. Denied(await database.ExecuteAsync("ACL", "LOG")).Except(before)];
        // commands of StackExchange.Redis at connection time
        Assert.True(
            denied.All(
            what => what is "config" or "cluster" or "sentinel" or "__Booksleeve_TieBreak" or "__Booksleeve_MasterChanged" or "select"),
            string.Join(", ", denied));
    }

    /// <summary>
    /// Redis (7.0.15 for one) reads the transactions and scripts of its append-only file with the rights of the user `default`
    /// (https://github.com/redis/redis/issues/14541), so that user must have all of them, although nobody can log in as it.
    /// </summary>
    [Fact]
    public async Task ARestartOfRedis_KeepsWhatScriptsHaveWritten_AndNobodyIsTheDefaultUser()
    {
        using var folder = new TempFolder();
        string users = RedisUsers.Write(folder.Path);
        (ChildProcess first, string address) = await RedisProcess.StartAsync(folder.Path, durable: true, users: users);
        await using (ChildProcess stopped = first)
        {
            await using ConnectionMultiplexer before = await ConnectionMultiplexer.ConnectAsync(RedisUsers.Service(address));
            await using var queue = new RedisJobQueue(before, new QueueOptions());
            await queue.SubmitAsync(new JobSubmission("kept", "ana", "gpt2", new byte[] { 1 }), TestContext.Current.CancellationToken);
            await first.TerminateAsync();
        }
        int port = int.Parse(address.Split(':')[1], System.Globalization.CultureInfo.InvariantCulture);
        (ChildProcess second, _) = await RedisProcess.StartAsync(folder.Path, port, durable: true, users: users);
        await using ChildProcess running = second;
        await using ConnectionMultiplexer after = await ConnectionMultiplexer.ConnectAsync(RedisUsers.Service(address));
        await using var restarted = new RedisJobQueue(after, new QueueOptions());
        Assert.Equal("kept", (await restarted.LeaseAsync("w", ["gpt2"], TimeSpan.Zero, TestContext.Current.CancellationToken))?.JobId);

        foreach (string login in (string[])[address, $"{address},password=default", $"{address},user=default,password=default"])
            await Assert.ThrowsAnyAsync<RedisConnectionException>(() => ConnectionMultiplexer.ConnectAsync(login));
    }

    /// <summary>Returns the commands, keys and channels that were refused to the service's user.</summary>
    private static IEnumerable<string> Denied(RedisResult log)
    {
        foreach (RedisResult entry in (RedisResult[])log!)
        {
            Dictionary<string, string> fields = ((RedisResult[])entry!).Chunk(2).ToDictionary(
                pair => (string)pair[0]!, pair => (string?)pair[1] ?? "");
            if (fields["username"] == "ndif") yield return fields["object"].Split('|')[0];
        }
    }
}
