using System.Collections.Concurrent;
using Ndif.Protocol;

namespace Ndif.Queue.Tests;

// Submission, order of the queue, waiting for jobs, cancellation.
public abstract partial class JobQueueContract
{
    [Fact(Timeout = Limit)]
    public async Task Submit_RecordsReceivedAndQueued_WithThePosition()
    {
        await _fixture.SubmitAsync("a");
        JobInfo info = await _fixture.SubmitAsync("b", model: "gpt2");
        Assert.Equal((JobState.Queued, 2u, 2ul), (info.State, info.Position, info.LastSequence));
        await _fixture.Queue.CancelAsync("b", "", Cancel);
        List<Event> events = await _fixture.WatchAsync("b");
        Assert.Equal([JobState.Received, JobState.Queued, JobState.Cancelled], events.Select(e => e.State.State));
        Assert.Equal(2u, events[1].State.Position);
        Assert.All(events, e => Assert.True(e.Time.Seconds > 1_700_000_000));
    }

    [Fact(Timeout = Limit)]
    public async Task SubmittingAgain_ReturnsThePresentState_AndQueuesNothing()
    {
        await _fixture.SubmitAsync("a");
        Lease lease = await _fixture.LeaseAsync();
        await _fixture.PublishAsync(lease, JobState.Running);
        JobInfo again = await _fixture.SubmitAsync("a");
        Assert.Equal(JobState.Running, again.State);
        Assert.Null(await _fixture.Queue.LeaseAsync("w2", ["gpt2"], TimeSpan.Zero, Cancel));
        await _fixture.PublishAsync(lease, JobState.Completed);
        Assert.Equal(JobState.Completed, (await _fixture.SubmitAsync("a")).State);
        Assert.Equal(0, (await _fixture.Queue.CountAsync(Cancel)).Waiting);
    }

    [Fact(Timeout = Limit)]
    public async Task AnotherOwnersJobId_IsRefused()
    {
        await _fixture.SubmitAsync("a", owner: "ana");
        AccessException refused = await Assert.ThrowsAsync<AccessException>(() => _fixture.SubmitAsync("a", owner: "ben"));
        Assert.Equal(ErrorCode.PermissionDenied, refused.Code);
        Assert.Equal("ana", await _fixture.Queue.GetOwnerAsync("a", Cancel));
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
        BadProgramException refused = await Assert.ThrowsAsync<BadProgramException>(
            () => _fixture.SubmitAsync(id, owner, model, weight, cost));
        Assert.Equal(ErrorCode.BadArgument, refused.Code);
        Assert.NotEmpty(refused.Error.Hint);
    }

    [Fact(Timeout = Limit)]
    public async Task UnknownJobs_AreNullOrSaySo()
    {
        Assert.Null(await _fixture.Queue.GetAsync("none", Cancel));
        Assert.Null(await _fixture.Queue.GetOwnerAsync("none", Cancel));
        Assert.Null(await _fixture.Queue.CancelAsync("none", "", Cancel));
        Assert.Null(await _fixture.Queue.RequeueAsync("none", "new", Cancel));
        NdifException watched = await Assert.ThrowsAsync<NdifException>(() => _fixture.WatchAsync("none"));
        Assert.Equal(ErrorCode.UnknownJob, watched.Code);
        await Assert.ThrowsAsync<NdifException>(() => _fixture.Queue.ReplyAsync("none", new LocalReply { Ticket = 1 }, Cancel));
    }

    [Fact(Timeout = Limit)]
    public async Task Lease_CarriesTheJob()
    {
        await _fixture.SubmitAsync("a", owner: "ana", model: "org/model@rev");
        Lease lease = await _fixture.LeaseAsync("w7", "org/model@rev");
        Assert.Equal(("a", "ana", "org/model@rev", "w7", 1), (lease.JobId, lease.Owner, lease.Model, lease.Worker, lease.Attempt));
        Assert.Equal([1, 2, 3], lease.Program.ToArray());
        Assert.Equal(TimeSpan.FromMinutes(1), lease.TimeLimit);
        JobInfo info = await _fixture.GetInfoAsync("a");
        Assert.Equal(("org/model", "rev", "w7", 0u), (info.Model.Id, info.Model.Revision, info.Worker, info.Position));
        Assert.Equal(info.Submitted.ToDateTimeOffset(), lease.Submitted);
    }

    [Fact(Timeout = Limit)]
    public async Task OneOwner_IsServedInOrder()
    {
        string[] ids = [.. Enumerable.Range(0, 20).Select(i => $"a{i}")];
        foreach (string id in ids) await _fixture.SubmitAsync(id);
        Assert.Equal(ids, await _fixture.CompleteAllAsync());
    }

    [Fact(Timeout = Limit)]
    public async Task AFlood_DoesNotStarveTheOthers()
    {
        for (int i = 0; i < 50; i++) await _fixture.SubmitAsync($"flood{i}", owner: "ana");
        Lease running = await _fixture.LeaseAsync();
        await _fixture.SubmitAsync("ben1", owner: "ben");
        await _fixture.SubmitAsync("ben2", owner: "ben");
        await _fixture.SubmitAsync("cleo1", owner: "cleo");
        await _fixture.PublishAsync(running, JobState.Completed);
        List<string> order = await _fixture.CompleteAllAsync();
        Assert.Equal(["ben1", "cleo1", "flood1", "ben2", "flood2", "flood3"], order.Take(6));
        Assert.Equal(52, order.Count);
    }

    [Fact(Timeout = Limit)]
    public async Task Weights_AreSharesOfService()
    {
        for (int i = 0; i < 40; i++)
        {
            await _fixture.SubmitAsync($"heavy{i}", owner: "ana", weight: 3);
            await _fixture.SubmitAsync($"light{i}", owner: "ben", weight: 1);
        }
        List<string> order = await _fixture.CompleteAllAsync();
        Assert.InRange(order.Take(40).Count(id => id.StartsWith("heavy", StringComparison.Ordinal)), 29, 31);
    }

    [Fact(Timeout = Limit)]
    public async Task DearJobs_CountForMore()
    {
        for (int i = 0; i < 5; i++) await _fixture.SubmitAsync($"dear{i}", owner: "ana", cost: 10);
        for (int i = 0; i < 20; i++) await _fixture.SubmitAsync($"cheap{i}", owner: "ben", cost: 1);
        List<string> order = await _fixture.CompleteAllAsync();
        Assert.Equal(10, order.IndexOf("dear1") - order.IndexOf("cheap0")); // ten cheap jobs between two expensive ones
    }

    [Fact(Timeout = Limit)]
    public async Task Position_IsTheRank()
    {
        async Task<string> Positions() =>
            $"{(await _fixture.GetInfoAsync("a1")).Position} {(await _fixture.GetInfoAsync("a2")).Position} "
            + $"{(await _fixture.GetInfoAsync("a3")).Position}";

        await _fixture.SubmitAsync("a1", owner: "ana");
        await _fixture.SubmitAsync("a2", owner: "ana");
        await _fixture.SubmitAsync("a3", owner: "ana");
        Assert.Equal(2u, (await _fixture.SubmitAsync("b1", owner: "ben")).Position);
        Assert.Equal("1 3 4", await Positions());
        await _fixture.LeaseAsync();
        Assert.Equal("0 2 3", await Positions());
    }

    [Fact(Timeout = Limit)]
    public async Task ModelsAreSeparateLines_AndTheOldestFirstIsTaken()
    {
        await _fixture.SubmitAsync("x1", model: "x");
        await _fixture.SubmitAsync("y1", model: "y");
        await _fixture.SubmitAsync("x2", model: "x");
        Assert.Equal("y1", (await _fixture.LeaseAsync(model: "y")).JobId);
        Assert.Null(await _fixture.Queue.LeaseAsync("w1", ["z", "y"], TimeSpan.Zero, Cancel));
        await _fixture.SubmitAsync("y2", model: "y");
        List<string> order = [];
        while (await _fixture.Queue.LeaseAsync("w1", ["y", "x"], TimeSpan.Zero, Cancel) is { } lease) order.Add(lease.JobId);
        Assert.Equal(["x1", "x2", "y2"], order);
    }

    [Fact(Timeout = Limit)]
    public async Task WaitIsEstimated_FromWhatCompletedJobsTook()
    {
        await _fixture.SubmitAsync("a");
        Lease lease = await _fixture.LeaseAsync();
        await _fixture.AdvanceAsync(TimeSpan.FromSeconds(10));
        await _fixture.PublishAsync(lease, JobState.Completed);
        await _fixture.SubmitAsync("b");
        JobInfo info = await _fixture.SubmitAsync("c");
        Assert.InRange(info.WaitSeconds, 0, 21); // two positions of ten seconds each, if the clock can be moved
    }

    /// <summary>A worker whose places one owner has filled with long jobs serves the others.</summary>
    [Fact(Timeout = Limit)]
    public async Task JobsOfExcludedOwners_ArePassedOver_AndKeepTheirOrder()
    {
        foreach (string id in (string[])["a1", "a2", "a3"]) await _fixture.SubmitAsync(id, owner: "ana", cost: 10);
        foreach (string id in (string[])["b1", "b2"]) await _fixture.SubmitAsync(id, owner: "ben", cost: 1);
        await _fixture.SubmitAsync("c1", owner: "cy", cost: 1);

        Assert.Equal(["b1", "c1", "b2"], await LeaseAllAsync("ana"));
        Assert.Empty(await LeaseAllAsync("ana", "ben"));
        await _fixture.SubmitAsync("b3", owner: "ben", cost: 1); // ben has had 2 of service, ana none
        Assert.Equal(["a1", "b3", "a2", "a3"], await LeaseAllAsync());

        Task<Lease?> waiting = _fixture.Queue.LeaseAsync(
            "w1", ["gpt2"], TimeSpan.FromSeconds(20), () => TimeSpan.Zero, ["ana"], Cancel);
        await _fixture.SubmitAsync("a4", owner: "ana");
        await _fixture.SubmitAsync("b4", owner: "ben");
        Assert.Equal("b4", (await waiting)?.JobId);

        async Task<List<string>> LeaseAllAsync(params string[] except)
        {
            List<string> order = [];
            while (await _fixture.Queue.LeaseAsync("w1", ["gpt2"], TimeSpan.Zero, () => TimeSpan.Zero, except, Cancel) is { } lease)
                order.Add(lease.JobId);
            return order;
        }
    }

    [Fact(Timeout = Limit)]
    public async Task AWorkerThatHasBecomeIdle_TakesAJobAtOnce()
    {
        TimeSpan delay = TimeSpan.FromHours(1);
        Task<Lease?> waiting = _fixture.Queue.LeaseAsync("w1", ["gpt2"], TimeSpan.FromSeconds(20), () => delay, [], Cancel);
        delay = TimeSpan.Zero;
        await _fixture.SubmitAsync("a");
        Assert.Equal("a", (await waiting)?.JobId);
    }

    [Fact(Timeout = Limit)]
    public async Task AWaitingWorker_IsWokenBySubmit()
    {
        Task<Lease?> waiting = _fixture.Queue.LeaseAsync("w1", ["other", "gpt2"], TimeSpan.FromSeconds(20), Cancel);
        await _fixture.SubmitAsync("a");
        Assert.Equal("a", (await waiting)?.JobId);
    }

    [Fact(Timeout = Limit)]
    public async Task WaitingInVain_GivesNull_AndCanBeCancelled()
    {
        Assert.Null(await _fixture.Queue.LeaseAsync("w1", ["gpt2"], TimeSpan.FromMilliseconds(20), Cancel));
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(Cancel);
        Task<Lease?> waiting = _fixture.Queue.LeaseAsync("w1", ["gpt2"], TimeSpan.FromSeconds(20), stop.Token);
        await stop.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => waiting);
    }

    [Fact(Timeout = Limit)]
    public async Task ManyWorkers_NeverShareAJob()
    {
        ConcurrentBag<string> taken = [];
        Task[] workers = [.. Enumerable.Range(0, 8).Select(async w =>
        {
            while (await _fixture.Queue.LeaseAsync($"w{w}", ["gpt2"], TimeSpan.FromMilliseconds(300), Cancel) is { } lease)
            {
                taken.Add(lease.JobId);
                Assert.True(await _fixture.PublishAsync(lease, JobState.Completed));
            }
        })];
        await Task.WhenAll(Enumerable.Range(0, 100).Select(i => _fixture.SubmitAsync($"j{i}", owner: $"o{i % 7}")));
        await Task.WhenAll(workers);
        Assert.Equal(100, taken.Count);
        Assert.Equal(100, taken.Distinct().Count());
        Assert.Equal(100, (await _fixture.Queue.CountAsync(Cancel)).Completed);
    }

    [Fact(Timeout = Limit)]
    public async Task CancellingAWaitingJob_RemovesIt()
    {
        await _fixture.SubmitAsync("a");
        await _fixture.SubmitAsync("b");
        JobInfo? info = await _fixture.Queue.CancelAsync("a", "no longer wanted", Cancel);
        Assert.Equal((JobState.Cancelled, 0u, ErrorCode.JobCancelled), (info!.State, info.Position, info.Error.Code));
        Assert.Contains("no longer wanted", info.Error.Message, StringComparison.Ordinal);
        Assert.NotNull(info.Ended);
        Assert.Equal(["b"], await _fixture.CompleteAllAsync());
    }

    [Fact(Timeout = Limit)]
    public async Task CancelledJobs_CostTheirOwnerNothing()
    {
        for (int i = 0; i < 10; i++) await _fixture.SubmitAsync($"a{i}", owner: "ana");
        await _fixture.SubmitAsync("b0", owner: "ben");
        await _fixture.SubmitAsync("b1", owner: "ben");
        for (int i = 0; i < 9; i++) await _fixture.Queue.CancelAsync($"a{i}", "", Cancel);
        Assert.Equal(1u, (await _fixture.GetInfoAsync("a9")).Position); // it moved up to where a0 was
        Assert.Equal(3u, (await _fixture.SubmitAsync("a10", owner: "ana")).Position - 1);
        Assert.Equal(["a9", "b0", "b1", "a10"], await _fixture.CompleteAllAsync());
    }

    [Fact(Timeout = Limit)]
    public async Task CancellingARunningJob_TakesItsLease()
    {
        await _fixture.SubmitAsync("a");
        Lease lease = await _fixture.LeaseAsync();
        await _fixture.PublishAsync(lease, JobState.Running);
        await _fixture.Queue.CancelAsync("a", "", Cancel);
        await WaitForLostAsync(lease);
        Assert.False(await _fixture.Queue.RenewAsync(lease, Cancel));
        Assert.False(await _fixture.LogAsync(lease, "too late"));
        Assert.False(await _fixture.PublishAsync(lease, JobState.Completed));
        Assert.Equal(JobState.Cancelled, (await _fixture.WatchAsync("a"))[^1].State.State);
        Assert.Equal((0, 0), ((await _fixture.Queue.CountAsync(Cancel)).Waiting, (await _fixture.Queue.CountAsync(Cancel)).Running));
    }

    [Fact(Timeout = Limit)]
    public async Task CancellingAnEndedJob_ChangesNothing()
    {
        await _fixture.SubmitAsync("a");
        await _fixture.CompleteAllAsync();
        Assert.Equal(JobState.Completed, (await _fixture.Queue.CancelAsync("a", "", Cancel))!.State);
        Assert.Equal(3, (await _fixture.WatchAsync("a")).Count);
    }
}
