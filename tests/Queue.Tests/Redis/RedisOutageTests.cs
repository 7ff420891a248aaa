using System.Diagnostics;
using Ndif.Protocol;
using Ndif.Queue.Redis;
using Ndif.Queue.Tests.Support;
using StackExchange.Redis;

namespace Ndif.Queue.Tests.Redis;

/// <summary>A Redis that loads its data, refuses commands, or comes back from an earlier state.</summary>
public sealed class RedisOutageTests : IAsyncLifetime
{
    private readonly TempFolder _folder = new();
    private readonly int _port = FreePort.Find();
    private ChildProcess _server = null!;
    private ConnectionMultiplexer _connection = null!;
    private RedisJobQueue _queue = null!;

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    public async ValueTask InitializeAsync()
    {
        (_server, _) = await RedisProcess.StartAsync(_folder.Path, _port);
        _connection = await ConnectionMultiplexer.ConnectAsync($"127.0.0.1:{_port},allowAdmin=true,abortConnect=false,asyncTimeout=1000");
        _queue = new RedisJobQueue(_connection, new QueueOptions { PollInterval = TimeSpan.FromMilliseconds(100) });
    }

    public async ValueTask DisposeAsync()
    {
        await _queue.DisposeAsync();
        await _connection.DisposeAsync();
        await _server.DisposeAsync();
        _folder.Dispose();
    }

    [Fact]
    public async Task WhileRedisLoadsItsData_EveryCallIsUnavailable_AndARunningJobGoesOn()
    {
        var registry = new RedisWorkerRegistry(_connection);
        using var deployments = new RedisDeployments(_connection);
        await _queue.SubmitAsync(new JobSubmission("a", "ana", "gpt2", new byte[] { 1 }), Cancel);
        Lease lease = (await _queue.LeaseAsync("w1", ["gpt2"], TimeSpan.Zero, Cancel))!;
        for (int i = 0; i < 4500; i++) _ = _connection.GetDatabase().StringSetAsync($"filler:{i}", i, flags: CommandFlags.FireAndForget);
        await RestartAsync("--key-load-delay", "1000");
        Task<bool> published = _queue.PublishWhenReachableAsync(lease, new Event { Log = new LogLine { Text = "late" } }, Cancel);
        int failures = 0;
        while (!published.IsCompleted)
        {
            Func<Task>[] calls =
            [
                () => registry.PublishHeartbeatAsync(new WorkerStatus { Id = "w1" }, [], Cancel),
                () => registry.UnregisterAsync("w2", Cancel),
                () => registry.SetDescriptionAsync(new ModelDescription { Id = "gpt2" }, Cancel),
                () => registry.ListModelsAsync(Cancel),
                () => deployments.ListAsync(Cancel),
                () => deployments.ClaimReplicaAsync("gpt2", "w1", 1, DateTimeOffset.UtcNow, Cancel),
                () => deployments.SendOrderAsync("w9", new WorkerOrder { Drain = true }, Cancel),
                () => deployments.DequeueOrdersAsync("w1", Cancel),
                () => deployments.SubscribeAsync("w1", ["gpt2"], Cancel),
                () => _queue.RenewAsync(lease, Cancel),
                () => _queue.LeaseAsync("w2", ["gpt2"], TimeSpan.Zero, Cancel),
                () => _queue.ReapExpiredLeasesAsync(Cancel),
                () => _queue.CountAsync(Cancel),
                () => _queue.ListAsync("", 10, false, Cancel),
                () => _queue.FollowAsync(["a"], "g", TimeSpan.FromSeconds(1), Cancel),
                () => _queue.AwaitReplyAsync(lease, 1, TimeSpan.Zero, Cancel),
                () => _queue.GetUsageAsync("", new DateOnly(2026, 1, 1), new DateOnly(2030, 1, 1), Cancel),
            ];
            await Task.WhenAll(calls.Select(async call =>
            {
                try { await call(); }
                catch (NdifException e) when (e is { Code: ErrorCode.Unavailable, Retryable: true })
                {
                    Interlocked.Increment(ref failures);
                }
            }));
            await Task.Delay(50, Cancel);
        }
        Assert.True(await published);
        Assert.True(failures > 0);
        Assert.True(await _queue.RenewAsync(lease, Cancel));
        Assert.True(await _queue.PublishAsync(lease, new Event { State = new StateChanged { State = JobState.Completed } }, Cancel));
        Assert.Equal((1u, JobState.Completed), await _queue.GetAsync("a", Cancel) is { } job ? (job.Attempt, job.State) : default);
    }

    [Theory]
    [InlineData("OOM", "memory")]
    [InlineData("READONLY", "replica")]
    [InlineData("MASTERDOWN", "primary")]
    [InlineData("BUSY", "busy")]
    public async Task ARefusalOfTheServer_IsUnavailable_WithItsCause(string refusal, string cause)
    {
        IServer server = _connection.GetServers()[0];
        Task busy = Task.CompletedTask;
        await using ConnectionMultiplexer second = await ConnectionMultiplexer.ConnectAsync($"127.0.0.1:{_port},allowAdmin=true");
        switch (refusal)
        {
            case "OOM": await server.ConfigSetAsync("maxmemory", 1); break;
            case "READONLY": await server.ExecuteAsync("REPLICAOF", "127.0.0.1", "1"); break;
            case "MASTERDOWN":
                await server.ConfigSetAsync("replica-serve-stale-data", "no");
                await server.ExecuteAsync("REPLICAOF", "127.0.0.1", "1");
                break;
            default:
                await server.ConfigSetAsync("busy-reply-threshold", 1);
                busy = second.GetDatabase().ExecuteAsync("EVAL", "while true do end", "0");
                await Task.Delay(200, Cancel);
                break;
        }
        var registry = new RedisWorkerRegistry(_connection);
        NdifException refused = await Assert.ThrowsAsync<NdifException>(
            () => refusal == "MASTERDOWN" ? registry.ListModelsAsync(Cancel)
                : refusal == "OOM" ? _queue.SubmitAsync(new JobSubmission("a", "ana", "gpt2", new byte[] { 1 }), Cancel)
                : registry.PublishHeartbeatAsync(new WorkerStatus { Id = "w" }, [], Cancel));
        Assert.Equal((ErrorCode.Unavailable, true), (refused.Code, refused.Retryable));
        Assert.Contains(cause, refused.Message, StringComparison.Ordinal);
        _server.Kill(); // the script of the busy server would run for ever
        await Task.WhenAny(busy);
    }

    [Fact]
    public async Task AnErrorThatDoesNotPass_IsInternal_AndNoExceptionOfRedis()
    {
        await _connection.GetDatabase().StringSetAsync("ndif:deployments", "no hash");
        using var deployments = new RedisDeployments(_connection);
        NdifException failed = await Assert.ThrowsAsync<NdifException>(() => deployments.ListAsync(Cancel));
        Assert.Equal((ErrorCode.Internal, false), (failed.Code, failed.Retryable));
    }

    /// <summary>The job was leased and has published after the backup: its old worker and its new one have different tokens.</summary>
    [Fact]
    public async Task AfterAnOldBackup_ATokenIsNotGivenTwice_AndReadersGetEverythingAgain()
    {
        await _queue.SubmitAsync(new JobSubmission("a", "ana", "gpt2", new byte[] { 1 }), Cancel);
        await _connection.GetServers()[0].SaveAsync(SaveType.BackgroundSave);
        await Poll.UntilAsync(() => Task.FromResult(File.Exists(Path.Combine(_folder.Path, "dump.rdb"))), exists => exists);
        Lease first = (await _queue.LeaseAsync("w1", ["gpt2"], TimeSpan.Zero, Cancel))!;
        for (int i = 0; i < 4; i++) await LogAsync(first, $"old {i}");
        List<Event> seen = [];
        Task watching = WatchAsync(seen);
        await Poll.UntilAsync(() => Task.FromResult(Count(seen)), count => count == 6);

        await RestartAsync();
        Lease second = await LeaseAgainAsync();
        Assert.True(second.Token > first.Token);
        Assert.False(second.Lost.IsCancellationRequested);
        Assert.False(await LogAsync(first, "late"));
        Assert.False(second.Lost.IsCancellationRequested);
        await Task.Delay(300, Cancel); // the reader has looked for events
        Lease last = second;
        if (!await LogAsync(second, "new")) // the reader came later than the lease, and knows more events than Redis: the job starts over
        {
            last = await LeaseAgainAsync();
            Assert.True(await LogAsync(last, "new"));
        }
        Assert.True(await _queue.PublishAsync(last, new Event { State = new StateChanged { State = JobState.Completed } }, Cancel));
        await watching.WaitAsync(TimeSpan.FromSeconds(10), Cancel);
        Assert.Equal(seen.Select(e => e.Sequence).Order(), seen.Select(e => e.Sequence).Distinct());
        Assert.Equal("new", seen.Last(e => e.Log is not null).Log.Text);
        Assert.Equal(JobState.Completed, seen[^1].State.State);
    }

    /// <summary>The worker that holds the lease goes on after the restart, and the store has lost some of its events.</summary>
    [Fact]
    public async Task AfterAnOldBackup_AJobWithMissingEvents_StartsOver()
    {
        await _queue.SubmitAsync(new JobSubmission("a", "ana", "gpt2", new byte[] { 1 }), Cancel);
        Lease first = (await _queue.LeaseAsync("w1", ["gpt2"], TimeSpan.Zero, Cancel))!;
        await LogAsync(first, "kept");
        await _connection.GetServers()[0].SaveAsync(SaveType.BackgroundSave);
        await Poll.UntilAsync(() => Task.FromResult(File.Exists(Path.Combine(_folder.Path, "dump.rdb"))), exists => exists);
        await LogAsync(first, "lost 1");
        await LogAsync(first, "lost 2");
        List<Event> seen = [];
        Task watching = WatchAsync(seen);
        await Poll.UntilAsync(() => Task.FromResult(Count(seen)), count => count == 5);

        await RestartAsync();
        Assert.False(await LogAsync(first, "after"));
        Lease second = await LeaseAgainAsync();
        Assert.Equal(2, second.Attempt);
        Assert.Equal("a", second.JobId);
        Assert.True(await LogAsync(second, "again"));
        Assert.True(await _queue.PublishAsync(second, new Event { State = new StateChanged { State = JobState.Completed } }, Cancel));
        await watching.WaitAsync(TimeSpan.FromSeconds(10), Cancel);
        Assert.Equal(["kept", "lost 1", "lost 2", "restart", "again"],
            seen.Where(e => e.Log is not null || e.Restart is not null).Select(e => e.Restart is not null ? "restart" : e.Log.Text));
        Assert.Equal(seen.Select(e => e.Sequence).Order(), seen.Select(e => e.Sequence).Distinct());
    }

    [Fact]
    public async Task JobsThatRedisHasEvicted_DoNotStopTheQueue()
    {
        IDatabase database = _connection.GetDatabase();
        foreach (string id in (string[])["leased", "waiting", "fine"])
            await _queue.SubmitAsync(new JobSubmission(id, "ana", "gpt2", new byte[] { 1 }), Cancel);
        Assert.Equal("leased", (await _queue.LeaseAsync("w1", ["gpt2"], TimeSpan.Zero, Cancel))!.JobId);
        await database.KeyDeleteAsync([(RedisKey)"ndif:job:leased", "ndif:job:waiting"]);
        Lease next = (await _queue.LeaseAsync("w1", ["gpt2"], TimeSpan.Zero, Cancel))!;
        Assert.Equal("fine", next.JobId);
        await database.SortedSetAddAsync("ndif:leased", "leased", 0);
        Assert.Equal(0, await _queue.ReapExpiredLeasesAsync(Cancel));
        Assert.Equal(1, (await _queue.CountAsync(Cancel)).Running);
        Assert.True(await _queue.PublishAsync(next, new Event { State = new StateChanged { State = JobState.Completed } }, Cancel));
    }

    [Fact]
    public async Task ALeaseThatWasWrittenByAClockThatWasAhead_ExpiresAtItsTime()
    {
        await _queue.SubmitAsync(new JobSubmission("a", "ana", "gpt2", new byte[] { 1 }), Cancel);
        await _queue.LeaseAsync("w1", ["gpt2"], TimeSpan.Zero, Cancel);
        IDatabase database = _connection.GetDatabase();
        double deadline = (await database.SortedSetScoreAsync("ndif:leased", "a"))!.Value;
        await database.SortedSetAddAsync("ndif:leased", "a", deadline + 1e9);
        await _queue.ReapExpiredLeasesAsync(Cancel);
        Assert.InRange((await database.SortedSetScoreAsync("ndif:leased", "a"))!.Value, deadline, deadline + 20_000);
    }

    [Fact]
    public async Task TheClockOfTheService_IsThatOfRedis()
    {
        using var clock = new RedisClock(_connection);
        DateTimeOffset server = (await _connection.GetServers()[0].TimeAsync());
        await Poll.UntilAsync(() => Task.FromResult(Math.Abs((clock.GetUtcNow() - server).TotalSeconds)), seconds => seconds < 5);
    }

    private static int Count(List<Event> events)
    {
        lock (events) return events.Count;
    }

    private async Task WatchAsync(List<Event> seen)
    {
        ulong from = 1;
        while (true)
        {
            try
            {
                await foreach (Event jobEvent in _queue.WatchAsync("a", from, Cancel))
                {
                    lock (seen) seen.Add(jobEvent);
                    if (jobEvent.State?.State.IsTerminal() == true) return;
                }
            }
            catch (NdifException e) when (e.Retryable)
            {
                Assert.Fail($"a short restart ended a reader: {e.Message}");
            }
        }
    }

    private Task<bool> LogAsync(Lease lease, string text) =>
        _queue.PublishWhenReachableAsync(lease, new Event { Log = new LogLine { Text = text } }, Cancel);

    private async Task<Lease> LeaseAgainAsync()
    {
        long started = Stopwatch.GetTimestamp();
        while (Stopwatch.GetElapsedTime(started) < TimeSpan.FromSeconds(10))
        {
            try
            {
                if (await _queue.LeaseAsync("w2", ["gpt2"], TimeSpan.FromSeconds(1), Cancel) is { } lease) return lease;
            }
            catch (NdifException e) when (e.Retryable)
            {
                // it restarts
            }
        }
        throw new InvalidOperationException("no job waits");
    }

    /// <summary>Kills the server (SIGKILL) and starts it again with its last backup. Without a delay it is ready on return.</summary>
    private async Task RestartAsync(params string[] options)
    {
        if (options.Length > 0) await _connection.GetServers()[0].ExecuteAsync("SAVE");
        _server.Kill();
        await _server.WaitForExitAsync();
        _server = RedisProcess.StartLoading(_folder.Path, _port, durable: false, options);
        if (options.Length == 0)
            await _server.WaitForLineAsync(line => line.Contains("Ready to accept", StringComparison.Ordinal), "that it is ready");
    }
}
