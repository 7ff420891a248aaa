using System.Diagnostics;
using Ndif.Protocol;
using Ndif.Queue.Blobs;
using Ndif.Queue.Redis;
using Ndif.Queue.Tests.Support;
using StackExchange.Redis;

namespace Ndif.Queue.Tests.Redis;

public sealed class RedisJobQueueTests(RedisServer server, ITestOutputHelper output) : JobQueueContract
{
    protected override Task<JobQueueFixture> NewFixtureAsync(QueueOptions? options = null) =>
        Task.FromResult<JobQueueFixture>(new RedisJobQueueFixture(server, options));

    [Fact]
    public async Task DifferentPrefixes_DoNotSeeEachOther()
    {
        await using var other = new RedisJobQueueFixture(server);
        await Fixture.SubmitAsync("a");
        Assert.Null(await other.Queue.GetAsync("a", Cancel));
        Assert.Null(await other.Queue.LeaseAsync("w", ["gpt2"], TimeSpan.FromMilliseconds(50), Cancel));
        Assert.Equal(0, (await other.Queue.CountAsync(Cancel)).Waiting);
        Assert.Equal("a", (await Fixture.LeaseAsync()).JobId);
    }

    [Fact]
    public async Task JobsThatAWorkerOfAnOlderVersionHasEnded_AreNotListedAsActive()
    {
        foreach (string id in (string[])["a", "b", "c"]) await Fixture.SubmitAsync(id);
        Lease lease = await Fixture.LeaseAsync();
        await Fixture.Queue.PublishAsync(lease, new Event { State = new StateChanged { State = JobState.Completed } }, Cancel);
        IDatabase database = server.OperatorConnection.GetDatabase();
        string unended = ((RedisJobQueueFixture)Fixture).Options.Prefix + "unended";
        await database.SortedSetAddAsync(unended, [new("a", 1), new("deleted", 9)]); // as such a worker leaves them
        Assert.Equal(["c"], (await Fixture.Queue.ListAsync("", 1, activeOnly: true, Cancel)).Select(job => job.Id));
        Assert.Equal(["c", "b"], (await Fixture.Queue.ListAsync("", 10, activeOnly: true, Cancel)).Select(job => job.Id));
        Assert.Equal(2, await database.SortedSetLengthAsync(unended));
    }

    [Fact]
    public async Task TwoProcesses_ShareOneQueue()
    {
        await using IConnectionMultiplexer connection = await ConnectionMultiplexer.ConnectAsync(server.ConnectionString);
        await using var gateway = new RedisJobQueue(connection, ((RedisJobQueueFixture)Fixture).Options);
        Task<Lease?> waiting = Fixture.Queue.LeaseAsync("w1", ["gpt2"], TimeSpan.FromSeconds(20), Cancel);
        await gateway.SubmitAsync(new JobSubmission("a", "ana", "gpt2", new byte[] { 1 }), Cancel);
        Lease lease = (await waiting)!;
        var lost = new TaskCompletionSource();
        lease.Lost.Register(lost.SetResult);
        long began = Stopwatch.GetTimestamp();
        await gateway.CancelAsync("a", "", Cancel);
        await lost.Task.WaitAsync(TimeSpan.FromSeconds(1), Cancel);
        output.WriteLine($"cancel -> Lost: {Stopwatch.GetElapsedTime(began).TotalMilliseconds:0.00} ms");
    }

    [Fact]
    public async Task AThousandTokens_ArePublishedOneByOne_AndFollowed()
    {
        await Fixture.SubmitAsync("a");
        Lease lease = await Fixture.LeaseAsync();
        Task<List<Event>> watching = WatchAsync(Fixture.Queue, "a");
        long began = Stopwatch.GetTimestamp();
        for (uint i = 0; i < 1000; i++)
            Assert.True(
                await Fixture.Queue.PublishAsync(lease, new Event { Token = new NewToken { Step = i, Id = i, Text = " token" } }, Cancel));
        TimeSpan published = Stopwatch.GetElapsedTime(began);
        Assert.True(await Fixture.Queue.PublishAsync(lease, new Event { State = new StateChanged { State = JobState.Completed } }, Cancel));
        List<Event> events = await watching;
        output.WriteLine(
            $"1000 tokens published in {published.TotalMilliseconds:0} ms, followed to the end in "
            + $"{Stopwatch.GetElapsedTime(began).TotalMilliseconds:0} ms");
        Assert.Equal(Enumerable.Range(0, 1000).Select(i => (uint)i), events.Where(e => e.Token is not null).Select(e => e.Token.Step));
    }

    /// <summary>
    /// Redis pauses for twice the lease duration while a worker renews and all processes reap. The live worker keeps its job; a dead worker
    /// loses its job.
    /// </summary>
    [Fact]
    public async Task AnOutageLongerThanALease_IsNoWorkersDeath()
    {
        await using var own = new RedisServer(); // disposed after the queue, which unsubscribes from it
        await own.InitializeAsync();
        await using var queue = new RedisJobQueue(own.OperatorConnection,
            new QueueOptions { LeaseDuration = TimeSpan.FromSeconds(1), PollInterval = TimeSpan.FromMilliseconds(100) });
        foreach (string id in (string[])["kept", "lost"])
            await queue.SubmitAsync(new JobSubmission(id, "ana", "gpt2", new byte[] { 1 }), Cancel);
        Lease kept = (await queue.LeaseAsync("w1", ["gpt2"], TimeSpan.Zero, Cancel))!,
            lost = (await queue.LeaseAsync("w2", ["gpt2"], TimeSpan.Zero, Cancel))!;
        using var over = CancellationTokenSource.CreateLinkedTokenSource(Cancel);
        Task renewing = AgainAndAgainAsync(TimeSpan.FromMilliseconds(333), () => queue.RenewAsync(kept, Cancel));
        Task reaping = AgainAndAgainAsync(TimeSpan.FromMilliseconds(50), () => queue.ReapExpiredLeasesAsync(Cancel));
        await Task.Delay(200, Cancel);
        await own.OperatorConnection.GetServer(own.OperatorConnection.GetEndPoints()[0]).ExecuteAsync("CLIENT", "PAUSE", "2000");
        await Task.Delay(2200, Cancel);

        await foreach (Event jobEvent in queue.WatchAsync(lost.JobId, 3, Cancel)) // it is queued again
        {
            Assert.Equal(JobState.Queued, jobEvent.State.State);
            break;
        }
        Assert.False(kept.Lost.IsCancellationRequested);
        Assert.True(await queue.PublishAsync(kept, new Event { State = new StateChanged { State = JobState.Completed } }, Cancel));
        Assert.Equal(1u, (await queue.GetAsync("kept", Cancel))!.Attempt);
        await over.CancelAsync();
        await Task.WhenAll(renewing, reaping).ConfigureAwait(
            ConfigureAwaitOptions.SuppressThrowing | ConfigureAwaitOptions.ContinueOnCapturedContext);

        async Task AgainAndAgainAsync(TimeSpan pause, Func<Task> act)
        {
            while (!over.IsCancellationRequested)
            {
                await act();
                await Task.Delay(pause, over.Token);
            }
        }
    }

    [Fact]
    public async Task Events_SurviveALostConnection()
    {
        await using var own = await ConnectionMultiplexer.ConnectAsync(server.ConnectionString + ",name=victim");
        await using var queue = new RedisJobQueue(own, ((RedisJobQueueFixture)Fixture).Options);
        await queue.SubmitAsync(new JobSubmission("a", "ana", "gpt2", new byte[] { 1 }), Cancel);
        Lease lease = (await queue.LeaseAsync("w1", ["gpt2"], TimeSpan.Zero, Cancel))!;
        Task<List<Event>> watching = WatchAsync(queue, "a");
        for (int i = 0; i < 60; i++)
        {
            if (i % 20 == 10) await BreakConnectionsAsync();
            Assert.True(await queue.PublishAsync(lease, new Event { Log = new LogLine { Text = $"{i}" } }, Cancel));
        }
        Assert.True(await queue.PublishAsync(lease, new Event { State = new StateChanged { State = JobState.Completed } }, Cancel));
        List<Event> events = await watching;
        Assert.Equal(Enumerable.Range(1, 63).Select(i => (ulong)i), events.Select(e => e.Sequence));
        Assert.Equal(Enumerable.Range(0, 60).Select(i => $"{i}"), events.Where(e => e.Log is not null).Select(e => e.Log.Text));
    }

    [Fact]
    public async Task Scripts_AreLoadedAgain_WhenTheServerHasForgottenThem()
    {
        await Fixture.SubmitAsync("a");
        await server.OperatorConnection.GetServers()[0].ScriptFlushAsync();
        Assert.Equal(["a"], await Fixture.CompleteAllAsync());
    }

    [Fact]
    public async Task ATriedAgainPublish_IsPublishedOnce()
    {
        await Fixture.SubmitAsync("a");
        Lease lease = await Fixture.LeaseAsync();
        byte[] name = Guid.NewGuid().ToByteArray();
        RedisValue[] Arguments(int again) => [again, "a", lease.Token, Google.Protobuf.MessageExtensions.ToByteArray(
            new Event { State = new StateChanged { State = JobState.Completed } }), name, (int)JobState.Completed, "", ""];
        RedisJobQueueFixture rig = (RedisJobQueueFixture)Fixture;
        foreach (int again in new[] { 0, 1 })
            Assert.Equal(1, (int)await rig.Database.ScriptEvaluateAsync(RedisScript.Publish.Text, [rig.Options.Prefix], Arguments(again)));
        Assert.Equal(3, (await Fixture.WatchAsync("a")).Count);
        Assert.Equal(1, (await Fixture.Queue.CountAsync(Cancel)).Completed);
    }

    [Fact]
    public async Task ATriedAgainLease_IsTheSameLease()
    {
        await Fixture.SubmitAsync("a");
        await Fixture.SubmitAsync("b");
        RedisJobQueueFixture rig = (RedisJobQueueFixture)Fixture;
        async Task<string> Lease(int again) => string.Join(' ', ((RedisResult[])(await rig.Database.ScriptEvaluateAsync(
            RedisScript.Lease.Text, [rig.Options.Prefix], [again, "w", 1000, "request", 0, "gpt2"]))!).Take(6).Select(
            part => part.ToString()));
        Assert.Equal(await Lease(0), await Lease(1));
        Assert.Equal(1, (await Fixture.Queue.CountAsync(Cancel)).Running);
    }

    [Fact]
    public async Task NoServer_IsUnavailable_AndRetryable()
    {
        string root = Directory.CreateTempSubdirectory("ndif-blobs-").FullName;
        await using QueueBackend backend = QueueBackend.Redis("127.0.0.1:1,connectTimeout=100", blobs: new BlobOptions { Root = root });
        NdifException[] failures = await Task.WhenAll(
            Assert.ThrowsAsync<NdifException>(() => backend.Jobs.GetAsync("a", Cancel)),
            Assert.ThrowsAsync<NdifException>(() => backend.Jobs.LeaseAsync("w", ["gpt2"], TimeSpan.FromSeconds(9), Cancel)),
            Assert.ThrowsAsync<NdifException>(() => backend.Workers.ListWorkersAsync(Cancel)));
        Assert.All(failures, failure => Assert.Equal((ErrorCode.Unavailable, true), (failure.Code, failure.Retryable)));
        Directory.Delete(root, recursive: true);
    }

    [Fact]
    public async Task AForgottenQueue_LeavesNoKeys()
    {
        for (int i = 0; i < 6; i++) await Fixture.SubmitAsync($"a{i}", owner: $"o{i % 2}");
        await Fixture.Queue.CancelAsync("a5", "", Cancel);
        Lease lease = await Fixture.LeaseAsync();
        await Fixture.Queue.ReplyAsync(lease.JobId, new LocalReply { Ticket = 1 }, Cancel);
        await Fixture.Queue.ReturnAsync(lease, Cancel);
        for (int i = 0; i < 3; i++)
        {
            await Fixture.LeaseAsync();
            await Fixture.ExpireLeasesAsync();
        }
        await Fixture.CompleteAllAsync();
        await Fixture.AdvanceAsync(TimeSpan.FromDays(2));
        await Fixture.Queue.ReapExpiredLeasesAsync(Cancel);
        RedisJobQueueFixture rig = (RedisJobQueueFixture)Fixture;
        Dictionary<string, bool> left = server.OperatorConnection.GetServers()[0].Keys(pattern: rig.Options.Prefix + "*")
            .ToDictionary(key => ((string)key!)[rig.Options.Prefix.Length..], key => rig.Database.KeyTimeToLive(key) is not null);
        Assert.Equal(["number", "pace", "reaped", "token", "totals"],
            left.Where(key => !key.Value).Select(key => key.Key).Order(StringComparer.Ordinal));
        // these keys expire by themselves
        Assert.All(left.Where(key => key.Value), key => Assert.Matches("^(recent:o[01]|usage:[0-9]+( o[01])?)$", key.Key));
    }

    [Fact]
    public async Task SubmitToLease_TakesAboutAMillisecond()
    {
        await using IConnectionMultiplexer connection = await ConnectionMultiplexer.ConnectAsync(server.ConnectionString);
        await using var gateway = new RedisJobQueue(connection, ((RedisJobQueueFixture)Fixture).Options);
        List<double> took = [];
        for (int i = 0; i < 300; i++)
        {
            Task<Lease?> waiting = Fixture.Queue.LeaseAsync("w1", ["gpt2"], TimeSpan.FromSeconds(20), Cancel);
            await server.OperatorConnection.GetDatabase().PingAsync(); // the worker has polled and waits now
            long began = Stopwatch.GetTimestamp();
            Task submitted = gateway.SubmitAsync(new JobSubmission($"j{i}", "ana", "gpt2", new byte[1000]), Cancel);
            Lease lease = (await waiting)!;
            took.Add(Stopwatch.GetElapsedTime(began).TotalMilliseconds);
            await submitted;
            await Fixture.PublishAsync(lease, JobState.Completed);
        }
        took.Sort();
        output.WriteLine($"submit -> lease: p50 {took[150]:0.00} ms, p95 {took[285]:0.00} ms, max {took[^1]:0.00} ms");
        Assert.True(took[150] < 100);
    }

    private static async Task<List<Event>> WatchAsync(IJobQueue queue, string id)
    {
        List<Event> events = [];
        await foreach (Event jobEvent in queue.WatchAsync(id, 1, Cancel)) events.Add(jobEvent);
        return events;
    }

    /// <summary>Closes the connections of a client, both for commands and for messages.</summary>
    private async Task BreakConnectionsAsync()
    {
        foreach (ClientInfo client in (await server.OperatorConnection.GetServers()[0].ClientListAsync()).Where(c => c.Name == "victim"))
            await ((RedisJobQueueFixture)Fixture).Database.ExecuteAsync("CLIENT", "KILL", "ID", client.Id);
    }
}
