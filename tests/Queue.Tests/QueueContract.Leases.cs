using System.Diagnostics;
using Ndif.Protocol;

namespace Ndif.Queue.Tests;

// Leases, deaths, outcomes.
public abstract partial class QueueContract
{
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
    public async Task AWorker_ThatWaits_FindsTheJobOfALostOne_WithoutBeingTold()
    {
        await using QueueRig quick = await NewRigAsync(new QueueOptions { SafetyPoll = TimeSpan.FromMilliseconds(20) });
        await quick.SubmitAsync("a");
        await quick.TakeAsync("w1");
        await quick.AdvanceAsync(TimeSpan.FromMinutes(1));
        Lease? second = await quick.Queue.LeaseAsync("w2", ["gpt2"], TimeSpan.FromSeconds(20), Cancel);
        Assert.Equal(("a", 2), (second?.JobId, second?.Attempt));
    }

    [Fact(Timeout = Limit)]
    public async Task Lease_ContinuesTheTrace_OfItsSubmission()
    {
        using var activity = new Activity("client");
        activity.SetIdFormat(ActivityIdFormat.W3C).Start();
        await rig.SubmitAsync("a");
        activity.Stop();
        await rig.SubmitAsync("b");
        Assert.Contains(activity.TraceId.ToString(), (await rig.TakeAsync()).TraceParent, StringComparison.Ordinal);
        Assert.Null((await rig.TakeAsync()).TraceParent);
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
}
