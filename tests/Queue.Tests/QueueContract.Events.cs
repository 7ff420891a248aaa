using Ndif.Protocol;

namespace Ndif.Queue.Tests;

// Events and replies; lists and counts.
public abstract partial class QueueContract
{
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
        await Assert.ThrowsAsync<BadProgramException>(() => rig.PublishAsync(lease, JobState.Queued));
        await Assert.ThrowsAsync<BadProgramException>(() => rig.Queue.PublishAsync(lease, new Event(), Cancel));
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

    [Fact(Timeout = Limit)]
    public async Task Positions_AreToldAgain_WhereTheyChanged_AndNotTooOften()
    {
        foreach (string id in (string[])["a", "b", "c"]) await rig.SubmitAsync(id);
        Assert.Equal(0, await rig.Queue.TellPositionsAsync(["a", "b", "c"], TimeSpan.Zero, Cancel)); // nothing has changed
        Lease lease = await rig.TakeAsync();
        Assert.Equal(0, await rig.Queue.TellPositionsAsync(["a", "b", "c"], TimeSpan.FromMinutes(1), Cancel)); // told a moment ago
        Assert.Equal(1, await rig.Queue.TellPositionsAsync(["a", "c", "nobody"], TimeSpan.Zero, Cancel)); // a runs, and nobody asked for b's
        Assert.Equal(0, await rig.Queue.TellPositionsAsync(["c"], TimeSpan.Zero, Cancel));
        await rig.PublishAsync(lease, JobState.Completed);
        await rig.Queue.CancelAsync("b", "", Cancel);
        Assert.Equal(1, await rig.Queue.TellPositionsAsync(["a", "b", "c"], TimeSpan.Zero, Cancel));
        await rig.Queue.CancelAsync("c", "", Cancel);
        List<Event> events = await rig.WatchAsync("c");
        Assert.Equal([3u, 2u, 1u], events.Where(e => e.State.State == JobState.Queued).Select(e => e.State.Position));
        Assert.Equal([1ul, 2ul, 3ul, 4ul, 5ul], events.Select(e => e.Sequence));
        Assert.True(events[3].State.WaitSeconds >= 0);
        Assert.Equal([JobState.Received, JobState.Queued, JobState.Cancelled], (await rig.WatchAsync("b")).Select(e => e.State.State));
    }

    [Fact(Timeout = Limit)]
    public async Task ALongLine_IsToldInStepsOfAHundredth()
    {
        for (int i = 0; i < 320; i++) await rig.SubmitAsync($"j{i}");
        int told = 0;
        for (int i = 0; i < 319; i++)
        {
            await rig.PublishAsync(await rig.TakeAsync(), JobState.Completed);
            told += await rig.Queue.TellPositionsAsync(["j319"], TimeSpan.Zero, Cancel);
        }
        Assert.InRange(told, 200, 270); // 199 in the last hundreds, each third and each second before
        await rig.Queue.CancelAsync("j319", "", Cancel);
        Assert.Equal([3u, 2u, 1u], (await rig.WatchAsync("j319")).Where(e => e.State.State == JobState.Queued).Select(e => e.State.Position).TakeLast(3));
    }

    [Fact(Timeout = Limit)]
    public async Task LargeEvents_ComeInOrder_HoweverTheyFillPages()
    {
        await rig.SubmitAsync("a");
        Lease lease = await rig.TakeAsync();
        int[] sizes = [10, 700_000, 1_500_000, 1, 400_000, 400_000, 400_000, 3_000_000, 5];
        foreach (int size in sizes) await rig.LogAsync(lease, new string('x', size));
        for (int i = 0; i < 300; i++) await rig.LogAsync(lease, $"{i}");
        await rig.PublishAsync(lease, JobState.Completed);
        List<Event> events = await rig.WatchAsync("a");
        Assert.Equal(Enumerable.Range(1, events.Count).Select(n => (ulong)n), events.Select(e => e.Sequence));
        Assert.Equal(sizes, events.Where(e => e.Log is not null).Take(sizes.Length).Select(e => e.Log.Text.Length));
        Assert.Equal(300 + sizes.Length, events.Count(e => e.Log is not null));
        Assert.Empty(await rig.WatchAsync("a", ulong.MaxValue));
    }
}
