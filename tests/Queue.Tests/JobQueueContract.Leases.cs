using System.Diagnostics;
using Ndif.Protocol;
using Ndif.Queue.Tests.Support;

namespace Ndif.Queue.Tests;

// Leases, lost leases, outcomes.
public abstract partial class JobQueueContract
{
    [Fact(Timeout = Limit)]
    public async Task AnExpiredLease_GoesBackToTheFront_WithItsAttempt()
    {
        await _fixture.SubmitAsync("a", owner: "ana");
        await _fixture.SubmitAsync("b", owner: "ben");
        Lease first = await _fixture.LeaseAsync("w1");
        Assert.Equal(1, await _fixture.ExpireLeasesAsync());
        await WaitForLostAsync(first);
        JobInfo info = await _fixture.GetInfoAsync("a");
        Assert.Equal((JobState.Queued, 1u, 1u), (info.State, info.Position, info.Attempt));
        Lease second = await _fixture.LeaseAsync("w2");
        Assert.Equal(("a", 2), (second.JobId, second.Attempt));
        Assert.True(second.Token > first.Token);
        Assert.False(second.Lost.IsCancellationRequested);
    }

    [Fact(Timeout = Limit)]
    public async Task AWorker_ThatWaits_FindsTheJobOfALostOne_WithoutBeingTold()
    {
        await using JobQueueFixture quick = await NewFixtureAsync(new QueueOptions { PollInterval = TimeSpan.FromMilliseconds(20) });
        await quick.SubmitAsync("a");
        await quick.LeaseAsync("w1");
        await quick.AdvanceAsync(TimeSpan.FromMinutes(1));
        Lease? second = await quick.Queue.LeaseAsync("w2", ["gpt2"], TimeSpan.FromSeconds(20), Cancel);
        Assert.Equal(("a", 2), (second?.JobId, second?.Attempt));
    }

    [Fact(Timeout = Limit)]
    public async Task Lease_ContinuesTheTrace_OfItsSubmission()
    {
        using var activity = new Activity("client");
        activity.SetIdFormat(ActivityIdFormat.W3C).Start();
        await _fixture.SubmitAsync("a");
        activity.Stop();
        await _fixture.SubmitAsync("b");
        Assert.Contains(activity.TraceId.ToString(), (await _fixture.LeaseAsync()).TraceParent, StringComparison.Ordinal);
        Assert.Null((await _fixture.LeaseAsync()).TraceParent);
    }

    [Fact(Timeout = Limit)]
    public async Task ARenewedLease_DoesNotExpire()
    {
        await _fixture.SubmitAsync("a");
        Lease lease = await _fixture.LeaseAsync();
        for (int i = 0; i < 4; i++)
        {
            await _fixture.AdvanceAsync(TimeSpan.FromSeconds(20));
            Assert.True(await _fixture.Queue.RenewAsync(lease, Cancel));
            Assert.Equal(0, await _fixture.Queue.ReapExpiredLeasesAsync(Cancel));
        }
        Assert.True(await _fixture.PublishAsync(lease, JobState.Completed));
    }

    [Fact(Timeout = Limit)]
    public async Task AStaleToken_CanNeitherPublishNorFinishNorReturn()
    {
        await _fixture.SubmitAsync("a");
        Lease stale = await _fixture.LeaseAsync("w1");
        await _fixture.ExpireLeasesAsync();
        Lease present = await _fixture.LeaseAsync("w2");
        Assert.False(await _fixture.LogAsync(stale, "ghost"));
        Assert.False(await _fixture.PublishAsync(stale, JobState.Failed));
        Assert.False(await _fixture.Queue.RenewAsync(stale, Cancel));
        await _fixture.Queue.ReturnAsync(stale, Cancel);
        Assert.True(await _fixture.LogAsync(present, "real"));
        Assert.True(await _fixture.PublishAsync(present, JobState.Completed));
        List<Event> events = await _fixture.WatchAsync("a");
        Assert.Equal(["real"], events.Where(e => e.Log is not null).Select(e => e.Log.Text));
    }

    [Fact(Timeout = Limit)]
    public async Task AJob_HasOneOutcome()
    {
        await _fixture.SubmitAsync("a");
        Lease lease = await _fixture.LeaseAsync();
        bool[] won = await Task.WhenAll(
            Enumerable.Range(0, 10).Select(i => _fixture.PublishAsync(lease, i % 2 == 0 ? JobState.Completed : JobState.Failed)));
        Assert.Single(won, true);
        Assert.Single(await _fixture.WatchAsync("a"), e => e.State.State is JobState.Completed or JobState.Failed);
        QueueCounts counts = await _fixture.Queue.CountAsync(Cancel);
        Assert.Equal((1, 0), (counts.Completed + counts.Failed, counts.Running));
    }

    [Fact(Timeout = Limit)]
    public async Task ThreeDeaths_EndTheJob_AsADeadLetter()
    {
        await _fixture.SubmitAsync("a");
        for (int attempt = 1; attempt <= 3; attempt++)
        {
            Assert.Equal(attempt, (await _fixture.LeaseAsync($"w{attempt}")).Attempt);
            await _fixture.ExpireLeasesAsync();
        }
        JobInfo info = await _fixture.GetInfoAsync("a");
        Assert.Equal((JobState.Failed, ErrorCode.WorkerLost, 3u), (info.State, info.Error.Code, info.Attempt));
        Assert.Contains("3 times", info.Error.Message, StringComparison.Ordinal);
        Assert.Contains("w3", info.Error.Message, StringComparison.Ordinal);
        Event last = (await _fixture.WatchAsync("a"))[^1];
        Assert.Equal((JobState.Failed, info.Error), (last.State.State, last.State.Error));
        DeadLetter letter = Assert.Single(await _fixture.Queue.ListDeadLettersAsync(10, Cancel));
        Assert.Equal(("a", "gpt2", 3u, info.Error.Message), (letter.JobId, letter.Model, letter.Attempts, letter.Reason));
        Assert.Equal(1, (await _fixture.Queue.CountAsync(Cancel)).Failed);
    }

    [Fact(Timeout = Limit)]
    public async Task ADeadLetter_CanBeQueuedAgain_AsANewJob()
    {
        await _fixture.SubmitAsync("a", owner: "ana");
        for (int i = 0; i < 3; i++)
        {
            await _fixture.LeaseAsync();
            await _fixture.ExpireLeasesAsync();
        }
        JobInfo? info = await _fixture.Queue.RequeueAsync("a", "a-again", Cancel);
        Assert.Equal(("a-again", JobState.Queued), (info!.Id, info.State));
        Assert.Empty(await _fixture.Queue.ListDeadLettersAsync(10, Cancel));
        Lease lease = await _fixture.LeaseAsync();
        Assert.Equal(("a-again", "ana", 1), (lease.JobId, lease.Owner, lease.Attempt));
        Assert.Equal([1, 2, 3], lease.Program.ToArray());
        Assert.Equal(JobState.Failed, (await _fixture.GetInfoAsync("a")).State);
        Assert.Null(await _fixture.Queue.RequeueAsync("a", "a-third", Cancel));
    }

    [Fact(Timeout = Limit)]
    public async Task AReturnedJob_IsItsOwnersNext_AndItsReturnsAreNotDeaths()
    {
        await _fixture.SubmitAsync("a", owner: "ana");
        await _fixture.SubmitAsync("b", owner: "ana");
        for (int attempt = 1; attempt <= 5; attempt++)
        {
            Lease lease = await _fixture.LeaseAsync();
            Assert.Equal(("a", attempt), (lease.JobId, lease.Attempt));
            await _fixture.Queue.ReturnAsync(lease, Cancel);
            Assert.False(await _fixture.Queue.RenewAsync(lease, Cancel));
        }
        Assert.Equal(["a", "b"], await _fixture.CompleteAllAsync());
    }
}
