using Ndif.Protocol;

namespace Ndif.Queue.Tests;

// Events, replies, lists and counts.
public abstract partial class JobQueueContract
{
    [Fact(Timeout = Limit)]
    public async Task Events_ContinueOverASecondAttempt_WhichTheyName()
    {
        await _fixture.SubmitAsync("a");
        Lease first = await _fixture.LeaseAsync("w1");
        await _fixture.PublishAsync(first, JobState.Running);
        await _fixture.LogAsync(first, "one");
        await _fixture.ExpireLeasesAsync();
        Lease second = await _fixture.LeaseAsync("w2");
        await _fixture.PublishAsync(second, JobState.Running);
        await _fixture.LogAsync(second, "two");
        await _fixture.PublishAsync(second, JobState.Completed);
        List<Event> events = await _fixture.WatchAsync("a");
        Assert.Equal(Enumerable.Range(1, 9).Select(i => (ulong)i), events.Select(e => e.Sequence));
        Assert.Equal(
            [(1u, "w1"), (2u, "w2")], events.Where(e => e.State?.State == JobState.Running).Select(e => (e.State.Attempt, e.State.Worker)));
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
        await _fixture.SubmitAsync("a");
        Lease lease = await _fixture.LeaseAsync();
        for (int i = 0; i < 3; i++) await _fixture.LogAsync(lease, $"{i}");
        await _fixture.PublishAsync(lease, JobState.Completed);
        List<Event> events = await _fixture.WatchAsync("a", (ulong)from);
        Assert.Equal(first == 0 ? 0 : 7 - first, events.Count);
        if (first > 0) Assert.Equal((ulong)first, events[0].Sequence);
    }

    [Fact(Timeout = Limit)]
    public async Task Watchers_SeeEveryEventOnce_WhileItIsPublished()
    {
        const int lines = 300;
        await _fixture.SubmitAsync("a");
        Task<List<Event>>[] watchers = [.. Enumerable.Range(0, 6).Select(w => _fixture.WatchAsync("a", (ulong)(w * 20)))];
        Lease lease = await _fixture.LeaseAsync();
        for (int i = 0; i < lines; i++) Assert.True(await _fixture.LogAsync(lease, $"{i}"));
        Task<List<Event>> late = _fixture.WatchAsync("a");
        await _fixture.PublishAsync(lease, JobState.Completed);
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
        await _fixture.SubmitAsync("a");
        Lease lease = await _fixture.LeaseAsync();
        await Task.WhenAll(Enumerable.Range(0, 100).Select(i => _fixture.LogAsync(lease, $"{i}")));
        await _fixture.PublishAsync(lease, JobState.Completed);
        List<Event> events = await _fixture.WatchAsync("a");
        Assert.Equal(Enumerable.Range(1, 103).Select(i => (ulong)i), events.Select(e => e.Sequence));
        Assert.Equal(100, events.Where(e => e.Log is not null).Select(e => e.Log.Text).Distinct().Count());
    }

    [Fact(Timeout = Limit)]
    public async Task LargeValues_ComeBackWhole()
    {
        await _fixture.SubmitAsync("a");
        Lease lease = await _fixture.LeaseAsync();
        byte[] bytes = new byte[1 << 20];
        new Random(1).NextBytes(bytes);
        var jobEvent = new Event { Value = new SavedValue { Name = "h",
            Data = new Data { Tensor = new Tensor { Inline = Google.Protobuf.ByteString.CopyFrom(bytes) } } } };
        for (int i = 0; i < 5; i++) await _fixture.Queue.PublishAsync(lease, jobEvent, Cancel);
        await _fixture.PublishAsync(lease, JobState.Completed);
        List<Event> events = await _fixture.WatchAsync("a", 3);
        Assert.Equal(6, events.Count);
        Assert.All(events.Take(5), e => Assert.True(e.Value.Data.Tensor.Inline.Span.SequenceEqual(bytes)));
        Assert.Equal(0ul, jobEvent.Sequence); // the event of the caller is not modified
    }

    [Fact(Timeout = Limit)]
    public async Task AWorker_CannotPublishWhatIsTheQueues()
    {
        await _fixture.SubmitAsync("a");
        Lease lease = await _fixture.LeaseAsync();
        await Assert.ThrowsAsync<BadProgramException>(() => _fixture.PublishAsync(lease, JobState.Queued));
        await Assert.ThrowsAsync<BadProgramException>(() => _fixture.Queue.PublishAsync(lease, new Event(), Cancel));
    }

    [Fact(Timeout = Limit)]
    public async Task AWatch_CanBeCancelled()
    {
        await _fixture.SubmitAsync("a");
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(Cancel);
        int seen = 0;
        await Assert.ThrowsAnyAsync<OperationCanceledException>(async () =>
        {
            await foreach (Event jobEvent in _fixture.Queue.WatchAsync("a", 1, stop.Token))
            {
                if (++seen == 2) stop.CancelAfter(10);
            }
        });
        Assert.Equal(2, seen);
    }

    /// <summary>The reader of the deleted job knows more events than its successor has, and none of them is the successor's.</summary>
    [Fact(Timeout = Limit)]
    public async Task AWatchOfADeletedJob_Ends_AndDoesNotDisturbAnotherJobOfItsId()
    {
        await _fixture.SubmitAsync("a");
        Lease first = await _fixture.LeaseAsync();
        for (int i = 0; i < 8; i++) await _fixture.LogAsync(first, $"{i}");
        await using IAsyncEnumerator<Event> stalled = _fixture.Queue.WatchAsync("a", 1, Cancel).GetAsyncEnumerator(Cancel);
        for (int i = 0; i < 10; i++) Assert.True(await stalled.MoveNextAsync());
        await _fixture.PublishAsync(first, JobState.Completed);
        await _fixture.Queue.DeleteAsync("a", Cancel);
        await _fixture.SubmitAsync("a");
        Lease second = await _fixture.LeaseAsync();
        NdifException told = await Assert.ThrowsAnyAsync<NdifException>(async () =>
        {
            while (await stalled.MoveNextAsync()) { }
        });
        Assert.Equal(ErrorCode.UnknownJob, told.Code);
        Assert.Contains("was deleted", told.Message, StringComparison.Ordinal);
        Assert.True(await _fixture.LogAsync(second, "new")); // the job does not start over
        Assert.True(await _fixture.PublishAsync(second, JobState.Completed));
        JobInfo job = await _fixture.GetInfoAsync("a");
        Assert.Equal((1u, JobState.Completed), (job.Attempt, job.State));
        Assert.Equal([1ul, 2, 3, 4], (await _fixture.WatchAsync("a")).Select(e => e.Sequence));
    }

    [Fact(Timeout = Limit)]
    public async Task Outcome_KeepsErrorAndUsage()
    {
        await _fixture.SubmitAsync("a");
        Lease lease = await _fixture.LeaseAsync();
        var outcome = new StateChanged
        {
            State = JobState.Failed,
            Error = new Error { Code = ErrorCode.ShapeMismatch, Message = "No.", Module = "h.0", Hint = "Look." },
            Usage = new Usage { Tokens = 7, ComputeSeconds = 0.5 },
        };
        await _fixture.Queue.PublishAsync(lease, new Event { State = outcome }, Cancel);
        JobInfo info = await _fixture.GetInfoAsync("a");
        Assert.Equal((outcome.Error, outcome.Usage, JobState.Failed), (info.Error, info.Usage, info.State));
        Assert.True(info.Started <= info.Ended && info.Submitted <= info.Started);
        Assert.False(lease.Lost.IsCancellationRequested);
    }

    [Fact(Timeout = Limit)]
    public async Task AReply_ReachesTheWorkerThatWaits_AndOneThatComesFirstIsKept()
    {
        await _fixture.SubmitAsync("a");
        Lease lease = await _fixture.LeaseAsync();
        Task<LocalReply?> waiting = _fixture.Queue.AwaitReplyAsync(lease, 1, TimeSpan.FromSeconds(20), Cancel);
        await _fixture.Queue.ReplyAsync("a", new LocalReply { Ticket = 2, Value = new Data { Integer = 22 } }, Cancel);
        await _fixture.Queue.ReplyAsync("a", new LocalReply { Ticket = 1, Value = new Data { Integer = 11 } }, Cancel);
        Assert.Equal(11, (await waiting)?.Value.Integer);
        Assert.Equal(22, (await _fixture.Queue.AwaitReplyAsync(lease, 2, TimeSpan.FromSeconds(20), Cancel))?.Value.Integer);
    }

    [Fact(Timeout = Limit)]
    public async Task WaitingForAReply_EndsWithTimeOrLease()
    {
        await _fixture.SubmitAsync("a");
        Lease lease = await _fixture.LeaseAsync();
        Assert.Null(await _fixture.Queue.AwaitReplyAsync(lease, 1, TimeSpan.FromMilliseconds(20), Cancel));
        Task<LocalReply?> waiting = _fixture.Queue.AwaitReplyAsync(lease, 1, TimeSpan.FromSeconds(20), Cancel);
        await _fixture.Queue.CancelAsync("a", "", Cancel);
        Assert.Null(await waiting.WaitAsync(TimeSpan.FromSeconds(10), Cancel));
    }

    [Fact(Timeout = Limit)]
    public async Task List_IsTheOwners_NewestFirst()
    {
        await _fixture.SubmitAsync("a1", owner: "ana");
        await _fixture.SubmitAsync("b1", owner: "ben");
        await _fixture.SubmitAsync("a2", owner: "ana", model: "other");
        await _fixture.SubmitAsync("a3", owner: "ana");
        await _fixture.Queue.CancelAsync("a3", "", Cancel);
        Assert.Equal(["a3", "a2", "a1"], (await _fixture.Queue.ListAsync("ana", 10, false, Cancel)).Select(j => j.Id));
        Assert.Equal(["a2", "a1"], (await _fixture.Queue.ListAsync("ana", 10, true, Cancel)).Select(j => j.Id));
        Assert.Equal(["a3", "a2"], (await _fixture.Queue.ListAsync("ana", 2, false, Cancel)).Select(j => j.Id));
        Assert.Empty(await _fixture.Queue.ListAsync("ana", 0, false, Cancel));
        Assert.Empty(await _fixture.Queue.ListAsync("cleo", 10, false, Cancel));
    }

    [Fact(Timeout = Limit)]
    public async Task Counts_FollowTheJobs()
    {
        await _fixture.SubmitAsync("a");
        await _fixture.SubmitAsync("b");
        await _fixture.SubmitAsync("c", model: "other");
        await _fixture.LeaseAsync();
        QueueCounts counts = await _fixture.Queue.CountAsync(Cancel);
        Assert.Equal((2, 1), (counts.Waiting, counts.Running));
        Assert.Equal((1, 1), counts.ByModel["gpt2"]);
        Assert.Equal((1, 0), counts.ByModel["other"]);
        await _fixture.Queue.CancelAsync("c", "", Cancel);
        Assert.DoesNotContain("other", (await _fixture.Queue.CountAsync(Cancel)).ByModel.Keys);
    }

    [Fact(Timeout = Limit)]
    public async Task AnEndedJob_IsForgottenAfterItsRetention()
    {
        await _fixture.SubmitAsync("a");
        await _fixture.SubmitAsync("b");
        await _fixture.Queue.CancelAsync("a", "", Cancel);
        await _fixture.AdvanceAsync(TimeSpan.FromHours(23));
        await _fixture.Queue.ReapExpiredLeasesAsync(Cancel);
        Assert.NotNull(await _fixture.Queue.GetAsync("a", Cancel));
        await _fixture.AdvanceAsync(TimeSpan.FromHours(2));
        await _fixture.Queue.ReapExpiredLeasesAsync(Cancel);
        Assert.Null(await _fixture.Queue.GetAsync("a", Cancel));
        Assert.Equal(["b"], (await _fixture.Queue.ListAsync("ana", 10, false, Cancel)).Select(j => j.Id));
        await Assert.ThrowsAsync<NdifException>(() => _fixture.WatchAsync("a"));
        Assert.Equal(2u, (await _fixture.SubmitAsync("a")).Position); // the id can be used again
    }

    [Fact(Timeout = Limit)]
    public async Task Positions_AreToldAgain_WhereTheyChanged_AndNotTooOften()
    {
        foreach (string id in (string[])["a", "b", "c"]) await _fixture.SubmitAsync(id);
        Assert.Equal(0, await _fixture.Queue.PublishPositionsAsync(["a", "b", "c"], TimeSpan.Zero, Cancel)); // nothing has changed
        Lease lease = await _fixture.LeaseAsync();
        // published a moment ago
        Assert.Equal(0, await _fixture.Queue.PublishPositionsAsync(["a", "b", "c"], TimeSpan.FromMinutes(1), Cancel));
        // a runs, and b was not requested
        Assert.Equal(1, await _fixture.Queue.PublishPositionsAsync(["a", "c", "nobody"], TimeSpan.Zero, Cancel));
        Assert.Equal(0, await _fixture.Queue.PublishPositionsAsync(["c"], TimeSpan.Zero, Cancel));
        await _fixture.PublishAsync(lease, JobState.Completed);
        await _fixture.Queue.CancelAsync("b", "", Cancel);
        Assert.Equal(1, await _fixture.Queue.PublishPositionsAsync(["a", "b", "c"], TimeSpan.Zero, Cancel));
        await _fixture.Queue.CancelAsync("c", "", Cancel);
        List<Event> events = await _fixture.WatchAsync("c");
        Assert.Equal([3u, 2u, 1u], events.Where(e => e.State.State == JobState.Queued).Select(e => e.State.Position));
        Assert.Equal([1ul, 2ul, 3ul, 4ul, 5ul], events.Select(e => e.Sequence));
        Assert.True(events[3].State.WaitSeconds >= 0);
        Assert.Equal([JobState.Received, JobState.Queued, JobState.Cancelled], (await _fixture.WatchAsync("b")).Select(e => e.State.State));
    }

    [Fact(Timeout = Limit)]
    public async Task ALongLine_IsToldInStepsOfAHundredth()
    {
        for (int i = 0; i < 320; i++) await _fixture.SubmitAsync($"j{i}");
        int told = 0;
        for (int i = 0; i < 319; i++)
        {
            await _fixture.PublishAsync(await _fixture.LeaseAsync(), JobState.Completed);
            told += await _fixture.Queue.PublishPositionsAsync(["j319"], TimeSpan.Zero, Cancel);
        }
        Assert.InRange(told, 200, 270); // each of the last 199 positions, and every second or third of the earlier ones
        await _fixture.Queue.CancelAsync("j319", "", Cancel);
        Assert.Equal([3u, 2u, 1u],
            (await _fixture.WatchAsync("j319")).Where(e => e.State.State == JobState.Queued).Select(e => e.State.Position).TakeLast(3));
    }

    [Fact(Timeout = Limit)]
    public async Task LargeEvents_ComeInOrder_HoweverTheyFillPages()
    {
        await _fixture.SubmitAsync("a");
        Lease lease = await _fixture.LeaseAsync();
        int[] sizes = [10, 700_000, 1_500_000, 1, 400_000, 400_000, 400_000, 3_000_000, 5];
        foreach (int size in sizes) await _fixture.LogAsync(lease, new string('x', size));
        for (int i = 0; i < 300; i++) await _fixture.LogAsync(lease, $"{i}");
        await _fixture.PublishAsync(lease, JobState.Completed);
        List<Event> events = await _fixture.WatchAsync("a");
        Assert.Equal(Enumerable.Range(1, events.Count).Select(n => (ulong)n), events.Select(e => e.Sequence));
        Assert.Equal(sizes, events.Where(e => e.Log is not null).Take(sizes.Length).Select(e => e.Log.Text.Length));
        Assert.Equal(300 + sizes.Length, events.Count(e => e.Log is not null));
        Assert.Empty(await _fixture.WatchAsync("a", ulong.MaxValue));
    }

    /// <summary>A reader that stops at a large event holds it in memory, so only so many readers of an owner may.</summary>
    [Fact(Timeout = Limit)]
    public async Task AReaderOfALargeEvent_WaitsForReadersOfItsOwner_AndForNoOther()
    {
        foreach (string owner in (string[])["ana", "bob"])
        {
            await _fixture.SubmitAsync(owner + "s", owner);
            Lease lease = await _fixture.LeaseAsync();
            await _fixture.LogAsync(lease, new string('x', 20 << 20));
            await _fixture.PublishAsync(lease, JobState.Completed);
        }
        await using IAsyncEnumerator<Event> second = _fixture.Queue.WatchAsync("anas", 1, Cancel).GetAsyncEnumerator(Cancel);
        Task reading;
        await using (IAsyncEnumerator<Event> first = _fixture.Queue.WatchAsync("anas", 1, Cancel).GetAsyncEnumerator(Cancel))
        {
            await ReadToLogAsync(first);
            reading = ReadToLogAsync(second);
            Assert.Contains(await _fixture.WatchAsync("bobs"), e => e.Log?.Text.Length == 20 << 20);
            await Task.Delay(200, Cancel);
            Assert.False(reading.IsCompleted);
        }
        await reading;
        Assert.True(await second.MoveNextAsync());
        Assert.Equal(JobState.Completed, second.Current.State.State);

        static async Task ReadToLogAsync(IAsyncEnumerator<Event> events)
        {
            do Assert.True(await events.MoveNextAsync());
            while (events.Current.Log is null);
        }
    }
}
