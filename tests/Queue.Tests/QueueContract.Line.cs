using System.Collections.Concurrent;
using Ndif.Protocol;

namespace Ndif.Queue.Tests;

// Submitting, the order of the line, waiting for work, cancelling.
public abstract partial class QueueContract
{
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
        BadProgramException refused = await Assert.ThrowsAsync<BadProgramException>(() => rig.SubmitAsync(id, owner, model, weight, cost));
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
}
