using Ndif.Protocol;
using Ndif.Queue.Tests.Support;


namespace Ndif.Queue.Tests;

/// <summary>Usage is recorded once for each ended job, and is kept when the job is deleted.</summary>
public abstract partial class JobQueueContract
{
    [Fact(Timeout = Limit)]
    public async Task TheAccount_HasEachEndedJobOnce_ByKeyAndModel()
    {
        foreach ((string id, string owner, string model) in ((string, string, string)[])[("a", "ana", "gpt2"), ("b", "ana", "gpt2"),
            ("c", "ana", "llama@1"), ("d", "ben", "gpt2")])
            await _fixture.SubmitAsync(id, owner, model);
        Assert.Empty(await UsageAsync("ana"));                            // no job has ended

        foreach (string id in (string[])["a", "d", "b"])
        {
            Lease lease = await _fixture.LeaseAsync();
            Assert.Equal(id, lease.JobId);
            JobState state = id == "b" ? JobState.Failed : JobState.Completed;
            var end = new Event { State = new StateChanged { State = state,
                Usage = new Usage { Tokens = 10, Passes = 2, ComputeSeconds = 0.25, ResultBytes = 1000 } } };
            Assert.True(await _fixture.Queue.PublishAsync(lease, end, Cancel));
            Assert.False(await _fixture.Queue.PublishAsync(lease, end, Cancel)); // published twice, counted once
            await _fixture.Queue.CancelAsync(id, "", Cancel);
            await _fixture.Queue.ReapExpiredLeasesAsync(Cancel);
        }
        await _fixture.Queue.CancelAsync("c", "", Cancel);

        string today = Today.ToString("yyyy-MM-dd", null);
        Assert.Equal(
            [
                new UsageRow { Key = "ana", Model = "gpt2", Day = today, Jobs = 2, Completed = 1, Failed = 1, Tokens = 20, Passes = 4,
                    ComputeSeconds = 0.5, ResultBytes = 2000 },
                new UsageRow { Key = "ana", Model = "llama@1", Day = today, Jobs = 1, Cancelled = 1 },
            ],
            await UsageAsync("ana"));
        Assert.Equal(3, (await UsageAsync("")).Count);
        Assert.Equal("ben", (await UsageAsync(""))[2].Key);
        Assert.Empty(await UsageAsync("eve"));
        Assert.Empty(await _fixture.Queue.GetUsageAsync("ana", Today.AddDays(1), Today.AddDays(9), Cancel));
        Assert.Empty(await _fixture.Queue.GetUsageAsync("ana", Today.AddDays(-9), Today.AddDays(-1), Cancel));
    }

    [Fact(Timeout = Limit)]
    public async Task ACancelledRun_IsChargedItsTime_AndALostWorkersIsNot()
    {
        await _fixture.SubmitAsync("a");
        await _fixture.SubmitAsync("b", owner: "ben");
        await _fixture.LeaseAsync();
        if (_fixture is InMemoryJobQueueFixture) await _fixture.AdvanceAsync(TimeSpan.FromSeconds(3));
        else await Task.Delay(30, Cancel);                                // the clock of the server cannot be moved
        await _fixture.Queue.CancelAsync("a", "", Cancel);
        UsageRow cancelled = Assert.Single(await UsageAsync("ana"));
        Assert.Equal((1u, 1u), (cancelled.Jobs, cancelled.Cancelled));
        Assert.True(cancelled.ComputeSeconds > 0, $"{cancelled}");

        for (int i = 0; i < 3; i++)
        {
            await _fixture.LeaseAsync();
            await _fixture.ExpireLeasesAsync();
        }
        UsageRow lost = Assert.Single(await UsageAsync("ben"));
        Assert.Equal((1u, 1u, 0.0), (lost.Jobs, lost.Failed, lost.ComputeSeconds));
    }

    [Fact(Timeout = Limit)]
    public async Task ADeletedJob_IsForgotten_ItsWatchersAreToldSo_AndItsCostStays()
    {
        await _fixture.SubmitAsync("a");
        Assert.False(await _fixture.Queue.DeleteAsync("a", Cancel));           // not before it has ended
        await using IAsyncEnumerator<Event> slow = _fixture.Queue.WatchAsync("a", 1, Cancel).GetAsyncEnumerator(Cancel);
        Assert.True(await slow.MoveNextAsync());
        await _fixture.Queue.CancelAsync("a", "", Cancel);
        Assert.True(await _fixture.Queue.DeleteAsync("a", Cancel));
        NdifException told = await Assert.ThrowsAnyAsync<NdifException>(async () =>
        {
            while (await slow.MoveNextAsync()) { }
        });
        Assert.Equal(ErrorCode.UnknownJob, told.Code);
        Assert.Contains("was deleted", told.Message, StringComparison.Ordinal);

        Assert.Null(await _fixture.Queue.GetAsync("a", Cancel));
        Assert.Null(await _fixture.Queue.GetOwnerAsync("a", Cancel));
        Assert.Empty(await _fixture.Queue.ListAsync("ana", 10, activeOnly: false, Cancel));
        Assert.Equal(ErrorCode.UnknownJob, (await Assert.ThrowsAnyAsync<NdifException>(() => _fixture.WatchAsync("a"))).Code);
        Assert.Null(await _fixture.Queue.DeleteAsync("a", Cancel));
        Assert.Equal(1u, Assert.Single(await UsageAsync("ana")).Cancelled);
        Assert.Equal(JobState.Queued, (await _fixture.SubmitAsync("a")).State); // its id can be used again
    }

    private DateOnly Today =>
        DateOnly.FromDateTime((_fixture is InMemoryJobQueueFixture memory ? memory.Time.GetUtcNow() : DateTimeOffset.UtcNow).UtcDateTime);

    /// <summary>Returns the usage of yesterday, today and tomorrow, because a test may run at midnight.</summary>
    private Task<IReadOnlyList<UsageRow>> UsageAsync(string owner) =>
        _fixture.Queue.GetUsageAsync(owner, Today.AddDays(-1), Today.AddDays(1), Cancel);
}
