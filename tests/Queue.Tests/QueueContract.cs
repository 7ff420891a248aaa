using System.Collections.Concurrent;
using Ndif.Protocol;

namespace Ndif.Queue.Tests;

/// <summary>What every queue must do. Each implementation runs all of it.</summary>
public abstract class QueueContract : IAsyncLifetime
{
    private const int Limit = 30_000;
    private QueueRig rig = null!;

    protected abstract Task<QueueRig> NewRigAsync(QueueOptions? options = null);

    protected QueueRig Rig => rig;

    protected static CancellationToken Cancel => TestContext.Current.CancellationToken;

    public async ValueTask InitializeAsync() => rig = await NewRigAsync();

    public async ValueTask DisposeAsync()
    {
        await rig.DisposeAsync();
        GC.SuppressFinalize(this);
    }

    // ---- submitting ----

    [Fact(Timeout = Limit)]
    public async Task Submit_RecordsReceivedAndQueued_WithThePosition()
    {
        await rig.SubmitAsync("a");
        JobInfo info = await rig.SubmitAsync("b", model: "gpt2");
        Assert.Equal((JobState.Queued, 2u, 2ul), (info.State, info.Position, info.LastSequence));
        await rig.Queue.CancelAsync("b", "", Cancel);
        List<Event> events = await rig.WatchAsync("b");
        Assert.Equal([JobState.Received, JobState.Queued, JobState.Cancelled], events.Select(e => e.State.State));
        Assert.Equal(2u, events[1].State.Position);
        Assert.All(events, e => Assert.True(e.Time.Seconds > 1_700_000_000));
    }

    [Fact(Timeout = Limit)]
    public async Task SubmittingAgain_ReturnsThePresentState_AndQueuesNothing()
    {
        await rig.SubmitAsync("a");
        Lease lease = await rig.TakeAsync();
        await rig.PublishAsync(lease, JobState.Running);
        JobInfo again = await rig.SubmitAsync("a");
        Assert.Equal(JobState.Running, again.State);
        Assert.Null(await rig.Queue.LeaseAsync("w2", ["gpt2"], TimeSpan.Zero, Cancel));
        await rig.PublishAsync(lease, JobState.Completed);
        Assert.Equal(JobState.Completed, (await rig.SubmitAsync("a")).State);
        Assert.Equal(0, (await rig.Queue.CountAsync(Cancel)).Waiting);
    }

    [Fact(Timeout = Limit)]
    public async Task AnotherOwnersJobId_IsRefused()
    {
        await rig.SubmitAsync("a", owner: "ana");
        AccessException refused = await Assert.ThrowsAsync<AccessException>(() => rig.SubmitAsync("a", owner: "ben"));
        Assert.Equal(ErrorCode.PermissionDenied, refused.Code);
        Assert.Equal("ana", await rig.Queue.OwnerAsync("a", Cancel));
    }

    [Theory(Timeout = Limit)]
    [InlineData("", "ana", "gpt2", 1, 1)]
    [InlineData("../a", "ana", "gpt2", 1, 1)]
    [InlineData("a", "a na", "gpt2", 1, 1)]
    [InlineData("a", "ana", "gpt\n2", 1, 1)]
    [InlineData("a", "ana", "gpt2", 0, 1)]
    [InlineData("a", "ana", "gpt2", 1, double.NaN)]
    public async Task WhatCannotBeKept_IsRefused(string id, string owner, string model, double weight, double cost)
    {
        InvalidProgramException refused = await Assert.ThrowsAsync<InvalidProgramException>(() => rig.SubmitAsync(id, owner, model, weight, cost));
        Assert.Equal(ErrorCode.BadArgument, refused.Code);
        Assert.NotEmpty(refused.Error.Hint);
    }

    [Fact(Timeout = Limit)]
    public async Task UnknownJobs_AreNullOrSaySo()
    {
        Assert.Null(await rig.Queue.GetAsync("none", Cancel));
        Assert.Null(await rig.Queue.OwnerAsync("none", Cancel));
        Assert.Null(await rig.Queue.CancelAsync("none", "", Cancel));
        Assert.Null(await rig.Queue.RequeueAsync("none", "new", Cancel));
        NdifException watched = await Assert.ThrowsAsync<NdifException>(() => rig.WatchAsync("none"));
        Assert.Equal(ErrorCode.UnknownJob, watched.Code);
        await Assert.ThrowsAsync<NdifException>(() => rig.Queue.ReplyAsync("none", new LocalReply { Ticket = 1 }, Cancel));
    }

    // ---- the line ----

    [Fact(Timeout = Limit)]
    public async Task Lease_CarriesTheJob()
    {
        await rig.SubmitAsync("a", owner: "ana", model: "org/model@rev");
        Lease lease = await rig.TakeAsync("w7", "org/model@rev");
        Assert.Equal(("a", "ana", "org/model@rev", "w7", 1), (lease.JobId, lease.Owner, lease.Model, lease.Worker, lease.Attempt));
        Assert.Equal([1, 2, 3], lease.Program.ToArray());
        Assert.Equal(TimeSpan.FromMinutes(1), lease.TimeLimit);
        JobInfo info = await rig.InfoAsync("a");
        Assert.Equal(("org/model", "rev", "w7", 0u), (info.Model.Id, info.Model.Revision, info.Worker, info.Position));
        Assert.Equal(info.Submitted.ToDateTimeOffset(), lease.Submitted);
    }

    [Fact(Timeout = Limit)]
    public async Task OneOwner_IsServedInOrder()
    {
        string[] ids = [.. Enumerable.Range(0, 20).Select(i => $"a{i}")];
        foreach (string id in ids) await rig.SubmitAsync(id);
        Assert.Equal(ids, await rig.DrainAsync());
    }

    [Fact(Timeout = Limit)]
    public async Task AFlood_DoesNotStarveTheOthers()
    {
        for (int i = 0; i < 50; i++) await rig.SubmitAsync($"flood{i}", owner: "ana");
        Lease running = await rig.TakeAsync();
        await rig.SubmitAsync("ben1", owner: "ben");
        await rig.SubmitAsync("ben2", owner: "ben");
        await rig.SubmitAsync("cleo1", owner: "cleo");
        await rig.PublishAsync(running, JobState.Completed);
        List<string> order = await rig.DrainAsync();
        Assert.Equal(["ben1", "cleo1", "flood1", "ben2", "flood2", "flood3"], order.Take(6));
        Assert.Equal(52, order.Count);
    }

    [Fact(Timeout = Limit)]
    public async Task Weights_AreSharesOfService()
    {
        for (int i = 0; i < 40; i++)
        {
            await rig.SubmitAsync($"heavy{i}", owner: "ana", weight: 3);
            await rig.SubmitAsync($"light{i}", owner: "ben", weight: 1);
        }
        List<string> order = await rig.DrainAsync();
        Assert.InRange(order.Take(40).Count(id => id.StartsWith("heavy", StringComparison.Ordinal)), 29, 31);
    }

    [Fact(Timeout = Limit)]
    public async Task DearJobs_CountForMore()
    {
        for (int i = 0; i < 5; i++) await rig.SubmitAsync($"dear{i}", owner: "ana", cost: 10);
        for (int i = 0; i < 20; i++) await rig.SubmitAsync($"cheap{i}", owner: "ben", cost: 1);
        List<string> order = await rig.DrainAsync();
        Assert.Equal(10, order.IndexOf("dear1") - order.IndexOf("cheap0")); // ten cheap ones between the dear ones
    }

    [Fact(Timeout = Limit)]
    public async Task Position_IsTheRank()
    {
        async Task<string> Positions() =>
            $"{(await rig.InfoAsync("a1")).Position} {(await rig.InfoAsync("a2")).Position} {(await rig.InfoAsync("a3")).Position}";

        await rig.SubmitAsync("a1", owner: "ana");
        await rig.SubmitAsync("a2", owner: "ana");
        await rig.SubmitAsync("a3", owner: "ana");
        Assert.Equal(2u, (await rig.SubmitAsync("b1", owner: "ben")).Position);
        Assert.Equal("1 3 4", await Positions());
        await rig.TakeAsync();
        Assert.Equal("0 2 3", await Positions());
    }

    [Fact(Timeout = Limit)]
    public async Task ModelsAreSeparateLines_AndTheOldestFirstIsTaken()
    {
        await rig.SubmitAsync("x1", model: "x");
        await rig.SubmitAsync("y1", model: "y");
        await rig.SubmitAsync("x2", model: "x");
        Assert.Equal("y1", (await rig.TakeAsync(model: "y")).JobId);
        Assert.Null(await rig.Queue.LeaseAsync("w1", ["z", "y"], TimeSpan.Zero, Cancel));
        await rig.SubmitAsync("y2", model: "y");
        List<string> order = [];
        while (await rig.Queue.LeaseAsync("w1", ["y", "x"], TimeSpan.Zero, Cancel) is { } lease) order.Add(lease.JobId);
        Assert.Equal(["x1", "x2", "y2"], order);
    }

    [Fact(Timeout = Limit)]
    public async Task WaitIsEstimated_FromWhatCompletedJobsTook()
    {
        await rig.SubmitAsync("a");
        Lease lease = await rig.TakeAsync();
        await rig.AdvanceAsync(TimeSpan.FromSeconds(10));
        await rig.PublishAsync(lease, JobState.Completed);
        await rig.SubmitAsync("b");
        JobInfo info = await rig.SubmitAsync("c");
        Assert.InRange(info.WaitSeconds, 0, 21); // two positions of ten seconds, where the clock can be moved
    }

    // ---- waiting for work ----

    [Fact(Timeout = Limit)]
    public async Task AWaitingWorker_IsWokenBySubmit()
    {
        Task<Lease?> waiting = rig.Queue.LeaseAsync("w1", ["other", "gpt2"], TimeSpan.FromSeconds(20), Cancel);
        await rig.SubmitAsync("a");
        Assert.Equal("a", (await waiting)?.JobId);
    }

    [Fact(Timeout = Limit)]
    public async Task WaitingInVain_GivesNull_AndCanBeCancelled()
    {
        Assert.Null(await rig.Queue.LeaseAsync("w1", ["gpt2"], TimeSpan.FromMilliseconds(20), Cancel));
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(Cancel);
        Task<Lease?> waiting = rig.Queue.LeaseAsync("w1", ["gpt2"], TimeSpan.FromSeconds(20), stop.Token);
        await stop.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => waiting);
    }

    [Fact(Timeout = Limit)]
    public async Task ManyWorkers_NeverShareAJob()
    {
        ConcurrentBag<string> taken = [];
        Task[] workers = [.. Enumerable.Range(0, 8).Select(async w =>
        {
            while (await rig.Queue.LeaseAsync($"w{w}", ["gpt2"], TimeSpan.FromMilliseconds(300), Cancel) is { } lease)
            {
                taken.Add(lease.JobId);
                Assert.True(await rig.PublishAsync(lease, JobState.Completed));
            }
        })];
        await Task.WhenAll(Enumerable.Range(0, 100).Select(i => rig.SubmitAsync($"j{i}", owner: $"o{i % 7}")));
        await Task.WhenAll(workers);
        Assert.Equal(100, taken.Count);
        Assert.Equal(100, taken.Distinct().Count());
        Assert.Equal(100, (await rig.Queue.CountAsync(Cancel)).Completed);
    }

    // ---- cancelling ----

    [Fact(Timeout = Limit)]
    public async Task CancellingAWaitingJob_RemovesIt()
    {
        await rig.SubmitAsync("a");
        await rig.SubmitAsync("b");
        JobInfo? info = await rig.Queue.CancelAsync("a", "no longer wanted", Cancel);
        Assert.Equal((JobState.Cancelled, 0u, ErrorCode.JobCancelled), (info!.State, info.Position, info.Error.Code));
        Assert.Contains("no longer wanted", info.Error.Message, StringComparison.Ordinal);
        Assert.NotNull(info.Ended);
        Assert.Equal(["b"], await rig.DrainAsync());
    }

    [Fact(Timeout = Limit)]
    public async Task CancelledJobs_CostTheirOwnerNothing()
    {
        for (int i = 0; i < 10; i++) await rig.SubmitAsync($"a{i}", owner: "ana");
        await rig.SubmitAsync("b0", owner: "ben");
        await rig.SubmitAsync("b1", owner: "ben");
        for (int i = 0; i < 9; i++) await rig.Queue.CancelAsync($"a{i}", "", Cancel);
        Assert.Equal(1u, (await rig.InfoAsync("a9")).Position); // it moved up to where a0 was
        Assert.Equal(3u, (await rig.SubmitAsync("a10", owner: "ana")).Position - 1);
        Assert.Equal(["a9", "b0", "b1", "a10"], await rig.DrainAsync());
    }

    [Fact(Timeout = Limit)]
    public async Task CancellingARunningJob_TakesItsLease()
    {
        await rig.SubmitAsync("a");
        Lease lease = await rig.TakeAsync();
        await rig.PublishAsync(lease, JobState.Running);
        await rig.Queue.CancelAsync("a", "", Cancel);
        await Lost(lease);
        Assert.False(await rig.Queue.RenewAsync(lease, Cancel));
        Assert.False(await rig.LogAsync(lease, "too late"));
        Assert.False(await rig.PublishAsync(lease, JobState.Completed));
        Assert.Equal(JobState.Cancelled, (await rig.WatchAsync("a"))[^1].State.State);
        Assert.Equal((0, 0), ((await rig.Queue.CountAsync(Cancel)).Waiting, (await rig.Queue.CountAsync(Cancel)).Running));
    }

    [Fact(Timeout = Limit)]
    public async Task CancellingAnEndedJob_ChangesNothing()
    {
        await rig.SubmitAsync("a");
        await rig.DrainAsync();
        Assert.Equal(JobState.Completed, (await rig.Queue.CancelAsync("a", "", Cancel))!.State);
        Assert.Equal(3, (await rig.WatchAsync("a")).Count);
    }

    // ---- leases ----

    [Fact(Timeout = Limit)]
    public async Task AnExpiredLease_GoesBackToTheFront_WithItsAttempt()
    {
        await rig.SubmitAsync("a", owner: "ana");
        await rig.SubmitAsync("b", owner: "ben");
        Lease first = await rig.TakeAsync("w1");
        Assert.Equal(1, await rig.LoseWorkersAsync());
        await Lost(first);
        JobInfo info = await rig.InfoAsync("a");
        Assert.Equal((JobState.Queued, 1u, 1u), (info.State, info.Position, info.Attempt));
        Lease second = await rig.TakeAsync("w2");
        Assert.Equal(("a", 2), (second.JobId, second.Attempt));
        Assert.True(second.Token > first.Token);
        Assert.False(second.Lost.IsCancellationRequested);
    }

    [Fact(Timeout = Limit)]
    public async Task ARenewedLease_DoesNotExpire()
    {
        await rig.SubmitAsync("a");
        Lease lease = await rig.TakeAsync();
        for (int i = 0; i < 4; i++)
        {
            await rig.AdvanceAsync(TimeSpan.FromSeconds(20));
            Assert.True(await rig.Queue.RenewAsync(lease, Cancel));
            Assert.Equal(0, await rig.Queue.ReapAsync(Cancel));
        }
        Assert.True(await rig.PublishAsync(lease, JobState.Completed));
    }

    [Fact(Timeout = Limit)]
    public async Task AStaleToken_CanNeitherPublishNorFinishNorReturn()
    {
        await rig.SubmitAsync("a");
        Lease stale = await rig.TakeAsync("w1");
        await rig.LoseWorkersAsync();
        Lease present = await rig.TakeAsync("w2");
        Assert.False(await rig.LogAsync(stale, "ghost"));
        Assert.False(await rig.PublishAsync(stale, JobState.Failed));
        Assert.False(await rig.Queue.RenewAsync(stale, Cancel));
        await rig.Queue.ReturnAsync(stale, Cancel);
        Assert.True(await rig.LogAsync(present, "real"));
        Assert.True(await rig.PublishAsync(present, JobState.Completed));
        List<Event> events = await rig.WatchAsync("a");
        Assert.Equal(["real"], events.Where(e => e.Log is not null).Select(e => e.Log.Text));
    }

    [Fact(Timeout = Limit)]
    public async Task AJob_HasOneOutcome()
    {
        await rig.SubmitAsync("a");
        Lease lease = await rig.TakeAsync();
        bool[] won = await Task.WhenAll(Enumerable.Range(0, 10).Select(i => rig.PublishAsync(lease, i % 2 == 0 ? JobState.Completed : JobState.Failed)));
        Assert.Single(won, true);
        Assert.Single(await rig.WatchAsync("a"), e => e.State.State is JobState.Completed or JobState.Failed);
        QueueCounts counts = await rig.Queue.CountAsync(Cancel);
        Assert.Equal((1, 0), (counts.Completed + counts.Failed, counts.Running));
    }

    [Fact(Timeout = Limit)]
    public async Task ThreeDeaths_EndTheJob_AsADeadLetter()
    {
        await rig.SubmitAsync("a");
        for (int attempt = 1; attempt <= 3; attempt++)
        {
            Assert.Equal(attempt, (await rig.TakeAsync($"w{attempt}")).Attempt);
            await rig.LoseWorkersAsync();
        }
        JobInfo info = await rig.InfoAsync("a");
        Assert.Equal((JobState.Failed, ErrorCode.WorkerLost, 3u), (info.State, info.Error.Code, info.Attempt));
        Assert.Contains("3 times", info.Error.Message, StringComparison.Ordinal);
        Assert.Contains("w3", info.Error.Message, StringComparison.Ordinal);
        Event last = (await rig.WatchAsync("a"))[^1];
        Assert.Equal((JobState.Failed, info.Error), (last.State.State, last.State.Error));
        DeadLetter letter = Assert.Single(await rig.Queue.DeadLettersAsync(10, Cancel));
        Assert.Equal(("a", "gpt2", 3u, info.Error.Message), (letter.JobId, letter.Model, letter.Attempts, letter.Reason));
        Assert.Equal(1, (await rig.Queue.CountAsync(Cancel)).Failed);
    }

    [Fact(Timeout = Limit)]
    public async Task ADeadLetter_CanBeQueuedAgain_AsANewJob()
    {
        await rig.SubmitAsync("a", owner: "ana");
        for (int i = 0; i < 3; i++)
        {
            await rig.TakeAsync();
            await rig.LoseWorkersAsync();
        }
        JobInfo? info = await rig.Queue.RequeueAsync("a", "a-again", Cancel);
        Assert.Equal(("a-again", JobState.Queued), (info!.Id, info.State));
        Assert.Empty(await rig.Queue.DeadLettersAsync(10, Cancel));
        Lease lease = await rig.TakeAsync();
        Assert.Equal(("a-again", "ana", 1), (lease.JobId, lease.Owner, lease.Attempt));
        Assert.Equal([1, 2, 3], lease.Program.ToArray());
        Assert.Equal(JobState.Failed, (await rig.InfoAsync("a")).State);
        Assert.Null(await rig.Queue.RequeueAsync("a", "a-third", Cancel));
    }

    [Fact(Timeout = Limit)]
    public async Task AReturnedJob_IsNextAgain_AndItsReturnsAreNotDeaths()
    {
        await rig.SubmitAsync("a", owner: "ana");
        await rig.SubmitAsync("b", owner: "ben");
        for (int attempt = 1; attempt <= 5; attempt++)
        {
            Lease lease = await rig.TakeAsync();
            Assert.Equal(("a", attempt), (lease.JobId, lease.Attempt));
            await rig.Queue.ReturnAsync(lease, Cancel);
            Assert.False(await rig.Queue.RenewAsync(lease, Cancel));
        }
        Assert.Equal(["a", "b"], await rig.DrainAsync());
    }

    // ---- events ----

    [Fact(Timeout = Limit)]
    public async Task Events_ContinueOverASecondAttempt_WhichTheyName()
    {
        await rig.SubmitAsync("a");
        Lease first = await rig.TakeAsync("w1");
        await rig.PublishAsync(first, JobState.Running);
        await rig.LogAsync(first, "one");
        await rig.LoseWorkersAsync();
        Lease second = await rig.TakeAsync("w2");
        await rig.PublishAsync(second, JobState.Running);
        await rig.LogAsync(second, "two");
        await rig.PublishAsync(second, JobState.Completed);
        List<Event> events = await rig.WatchAsync("a");
        Assert.Equal(Enumerable.Range(1, 8).Select(i => (ulong)i), events.Select(e => e.Sequence));
        Assert.Equal([(1u, "w1"), (2u, "w2")], events.Where(e => e.State?.State == JobState.Running).Select(e => (e.State.Attempt, e.State.Worker)));
        Assert.Equal((JobState.Queued, 1u, 1u), (events[4].State.State, events[4].State.Attempt, events[4].State.Position));
    }

    [Theory(Timeout = Limit)]
    [InlineData(0, 1)]
    [InlineData(1, 1)]
    [InlineData(4, 4)]
    [InlineData(6, 6)]
    [InlineData(7, 0)]
    [InlineData(99, 0)]
    public async Task Watch_ResumesFromAnySequence_AlsoAfterTheEnd(int from, int first)
    {
        await rig.SubmitAsync("a");
        Lease lease = await rig.TakeAsync();
        for (int i = 0; i < 3; i++) await rig.LogAsync(lease, $"{i}");
        await rig.PublishAsync(lease, JobState.Completed);
        List<Event> events = await rig.WatchAsync("a", (ulong)from);
        Assert.Equal(first == 0 ? 0 : 7 - first, events.Count);
        if (first > 0) Assert.Equal((ulong)first, events[0].Sequence);
    }

    [Fact(Timeout = Limit)]
    public async Task Watchers_SeeEveryEventOnce_WhileItIsPublished()
    {
        const int lines = 300;
        await rig.SubmitAsync("a");
        Task<List<Event>>[] watchers = [.. Enumerable.Range(0, 6).Select(w => rig.WatchAsync("a", (ulong)(w * 20)))];
        Lease lease = await rig.TakeAsync();
        for (int i = 0; i < lines; i++) Assert.True(await rig.LogAsync(lease, $"{i}"));
        Task<List<Event>> late = rig.WatchAsync("a");
        await rig.PublishAsync(lease, JobState.Completed);
        for (int w = 0; w < watchers.Length; w++)
        {
            int from = Math.Max(1, w * 20);
            Assert.Equal(Enumerable.Range(from, lines + 4 - from).Select(i => (ulong)i), (await watchers[w]).Select(e => e.Sequence));
        }
        Assert.Equal(lines + 3, (await late).Count);
    }

    [Fact(Timeout = Limit)]
    public async Task EventsPublishedTogether_HaveNoGapsAndNoDoubles()
    {
        await rig.SubmitAsync("a");
        Lease lease = await rig.TakeAsync();
        await Task.WhenAll(Enumerable.Range(0, 100).Select(i => rig.LogAsync(lease, $"{i}")));
        await rig.PublishAsync(lease, JobState.Completed);
        List<Event> events = await rig.WatchAsync("a");
        Assert.Equal(Enumerable.Range(1, 103).Select(i => (ulong)i), events.Select(e => e.Sequence));
        Assert.Equal(100, events.Where(e => e.Log is not null).Select(e => e.Log.Text).Distinct().Count());
    }

    [Fact(Timeout = Limit)]
    public async Task LargeValues_ComeBackWhole()
    {
        await rig.SubmitAsync("a");
        Lease lease = await rig.TakeAsync();
        byte[] bytes = new byte[1 << 20];
        new Random(1).NextBytes(bytes);
        var happening = new Event { Value = new SavedValue { Name = "h", Data = new Data { Tensor = new Tensor { Inline = Google.Protobuf.ByteString.CopyFrom(bytes) } } } };
        for (int i = 0; i < 5; i++) await rig.Queue.PublishAsync(lease, happening, Cancel);
        await rig.PublishAsync(lease, JobState.Completed);
        List<Event> events = await rig.WatchAsync("a", 3);
        Assert.Equal(6, events.Count);
        Assert.All(events.Take(5), e => Assert.True(e.Value.Data.Tensor.Inline.Span.SequenceEqual(bytes)));
        Assert.Equal(0ul, happening.Sequence); // the worker's own event is left alone
    }

    [Fact(Timeout = Limit)]
    public async Task AWorker_CannotPublishWhatIsTheQueues()
    {
        await rig.SubmitAsync("a");
        Lease lease = await rig.TakeAsync();
        await Assert.ThrowsAsync<InvalidProgramException>(() => rig.PublishAsync(lease, JobState.Queued));
        await Assert.ThrowsAsync<InvalidProgramException>(() => rig.Queue.PublishAsync(lease, new Event(), Cancel));
    }

    [Fact(Timeout = Limit)]
    public async Task AWatch_CanBeCancelled()
    {
        await rig.SubmitAsync("a");
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(Cancel);
        int seen = 0;
        await Assert.ThrowsAnyAsync<OperationCanceledException>(async () =>
        {
            await foreach (Event happening in rig.Queue.WatchAsync("a", 1, stop.Token))
            {
                if (++seen == 2) stop.CancelAfter(10);
            }
        });
        Assert.Equal(2, seen);
    }

    [Fact(Timeout = Limit)]
    public async Task Outcome_KeepsErrorAndUsage()
    {
        await rig.SubmitAsync("a");
        Lease lease = await rig.TakeAsync();
        var outcome = new StateChanged
        {
            State = JobState.Failed,
            Error = new Error { Code = ErrorCode.ShapeMismatch, Message = "No.", Module = "h.0", Hint = "Look." },
            Usage = new Usage { Tokens = 7, ComputeSeconds = 0.5 },
        };
        await rig.Queue.PublishAsync(lease, new Event { State = outcome }, Cancel);
        JobInfo info = await rig.InfoAsync("a");
        Assert.Equal((outcome.Error, outcome.Usage, JobState.Failed), (info.Error, info.Usage, info.State));
        Assert.True(info.Started <= info.Ended && info.Submitted <= info.Started);
        Assert.False(lease.Lost.IsCancellationRequested);
    }

    // ---- replies ----

    [Fact(Timeout = Limit)]
    public async Task AReply_ReachesTheWorkerThatWaits_AndOneThatComesFirstIsKept()
    {
        await rig.SubmitAsync("a");
        Lease lease = await rig.TakeAsync();
        Task<LocalReply?> waiting = rig.Queue.AwaitReplyAsync(lease, 1, TimeSpan.FromSeconds(20), Cancel);
        await rig.Queue.ReplyAsync("a", new LocalReply { Ticket = 2, Value = new Data { Integer = 22 } }, Cancel);
        await rig.Queue.ReplyAsync("a", new LocalReply { Ticket = 1, Value = new Data { Integer = 11 } }, Cancel);
        Assert.Equal(11, (await waiting)?.Value.Integer);
        Assert.Equal(22, (await rig.Queue.AwaitReplyAsync(lease, 2, TimeSpan.FromSeconds(20), Cancel))?.Value.Integer);
    }

    [Fact(Timeout = Limit)]
    public async Task WaitingForAReply_EndsWithTimeOrLease()
    {
        await rig.SubmitAsync("a");
        Lease lease = await rig.TakeAsync();
        Assert.Null(await rig.Queue.AwaitReplyAsync(lease, 1, TimeSpan.FromMilliseconds(20), Cancel));
        Task<LocalReply?> waiting = rig.Queue.AwaitReplyAsync(lease, 1, TimeSpan.FromSeconds(20), Cancel);
        await rig.Queue.CancelAsync("a", "", Cancel);
        Assert.Null(await waiting.WaitAsync(TimeSpan.FromSeconds(10), Cancel));
    }

    // ---- looking ----

    [Fact(Timeout = Limit)]
    public async Task List_IsTheOwners_NewestFirst()
    {
        await rig.SubmitAsync("a1", owner: "ana");
        await rig.SubmitAsync("b1", owner: "ben");
        await rig.SubmitAsync("a2", owner: "ana", model: "other");
        await rig.SubmitAsync("a3", owner: "ana");
        await rig.Queue.CancelAsync("a3", "", Cancel);
        Assert.Equal(["a3", "a2", "a1"], (await rig.Queue.ListAsync("ana", 10, false, Cancel)).Select(j => j.Id));
        Assert.Equal(["a2", "a1"], (await rig.Queue.ListAsync("ana", 10, true, Cancel)).Select(j => j.Id));
        Assert.Equal(["a3", "a2"], (await rig.Queue.ListAsync("ana", 2, false, Cancel)).Select(j => j.Id));
        Assert.Empty(await rig.Queue.ListAsync("ana", 0, false, Cancel));
        Assert.Empty(await rig.Queue.ListAsync("cleo", 10, false, Cancel));
    }

    [Fact(Timeout = Limit)]
    public async Task Counts_FollowTheJobs()
    {
        await rig.SubmitAsync("a");
        await rig.SubmitAsync("b");
        await rig.SubmitAsync("c", model: "other");
        await rig.TakeAsync();
        QueueCounts counts = await rig.Queue.CountAsync(Cancel);
        Assert.Equal((2, 1), (counts.Waiting, counts.Running));
        Assert.Equal((1, 1), counts.ByModel["gpt2"]);
        Assert.Equal((1, 0), counts.ByModel["other"]);
        await rig.Queue.CancelAsync("c", "", Cancel);
        Assert.DoesNotContain("other", (await rig.Queue.CountAsync(Cancel)).ByModel.Keys);
    }

    [Fact(Timeout = Limit)]
    public async Task AnEndedJob_IsForgottenAfterItsRetention()
    {
        await rig.SubmitAsync("a");
        await rig.SubmitAsync("b");
        await rig.Queue.CancelAsync("a", "", Cancel);
        await rig.AdvanceAsync(TimeSpan.FromHours(23));
        await rig.Queue.ReapAsync(Cancel);
        Assert.NotNull(await rig.Queue.GetAsync("a", Cancel));
        await rig.AdvanceAsync(TimeSpan.FromHours(2));
        await rig.Queue.ReapAsync(Cancel);
        Assert.Null(await rig.Queue.GetAsync("a", Cancel));
        Assert.Equal(["b"], (await rig.Queue.ListAsync("ana", 10, false, Cancel)).Select(j => j.Id));
        await Assert.ThrowsAsync<NdifException>(() => rig.WatchAsync("a"));
        Assert.Equal(2u, (await rig.SubmitAsync("a")).Position); // the id is free again
    }

    /// <summary>Waits for a lease to be reported lost.</summary>
    private static async Task Lost(Lease lease)
    {
        var lost = new TaskCompletionSource();
        await using CancellationTokenRegistration registration = lease.Lost.Register(lost.SetResult);
        await lost.Task.WaitAsync(TimeSpan.FromSeconds(1), Cancel);
    }
}
