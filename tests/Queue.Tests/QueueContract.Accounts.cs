using Ndif.Protocol;

namespace Ndif.Queue.Tests;

/// <summary>What was used is written down once per ended job; a job can be deleted, its cost cannot.</summary>
public abstract partial class QueueContract
{
    [Fact(Timeout = Limit)]
    public async Task TheAccount_HasEachEndedJobOnce_ByKeyAndModel()
    {
        foreach ((string id, string owner, string model) in ((string, string, string)[])[("a", "ana", "gpt2"), ("b", "ana", "gpt2"), ("c", "ana", "llama@1"), ("d", "ben", "gpt2")])
            await rig.SubmitAsync(id, owner, model);
        Assert.Empty(await UsageAsync("ana"));                            // nothing has ended

        foreach (string id in (string[])["a", "d", "b"])
        {
            Lease lease = await rig.TakeAsync();
            Assert.Equal(id, lease.JobId);
            JobState state = id == "b" ? JobState.Failed : JobState.Completed;
            var end = new Event { State = new StateChanged { State = state, Usage = new Usage { Tokens = 10, Passes = 2, ComputeSeconds = 0.25, ResultBytes = 1000 } } };
            Assert.True(await rig.Queue.PublishAsync(lease, end, Cancel));
            Assert.False(await rig.Queue.PublishAsync(lease, end, Cancel)); // told twice, counted once
            await rig.Queue.CancelAsync(id, "", Cancel);
            await rig.Queue.ReapAsync(Cancel);
        }
        await rig.Queue.CancelAsync("c", "", Cancel);

        string today = Today.ToString("yyyy-MM-dd", null);
        Assert.Equal(
            [
                new UsageRow { Key = "ana", Model = "gpt2", Day = today, Jobs = 2, Completed = 1, Failed = 1, Tokens = 20, Passes = 4, ComputeSeconds = 0.5, ResultBytes = 2000 },
                new UsageRow { Key = "ana", Model = "llama@1", Day = today, Jobs = 1, Cancelled = 1 },
            ],
            await UsageAsync("ana"));
        Assert.Equal(3, (await UsageAsync("")).Count);
        Assert.Equal("ben", (await UsageAsync(""))[2].Key);
        Assert.Empty(await UsageAsync("eve"));
        Assert.Empty(await rig.Queue.UsageAsync("ana", Today.AddDays(1), Today.AddDays(9), Cancel));
        Assert.Empty(await rig.Queue.UsageAsync("ana", Today.AddDays(-9), Today.AddDays(-1), Cancel));
    }

    [Fact(Timeout = Limit)]
    public async Task ACancelledRun_IsChargedItsTime_AndALostWorkersIsNot()
    {
        await rig.SubmitAsync("a");
        await rig.SubmitAsync("b", owner: "ben");
        await rig.TakeAsync();
        if (rig is MemoryRig) await rig.AdvanceAsync(TimeSpan.FromSeconds(3));
        else await Task.Delay(30, Cancel);                                // the server's own clock
        await rig.Queue.CancelAsync("a", "", Cancel);
        UsageRow cancelled = Assert.Single(await UsageAsync("ana"));
        Assert.Equal((1u, 1u), (cancelled.Jobs, cancelled.Cancelled));
        Assert.True(cancelled.ComputeSeconds > 0, $"{cancelled}");

        for (int i = 0; i < 3; i++)
        {
            await rig.TakeAsync();
            await rig.LoseWorkersAsync();
        }
        UsageRow lost = Assert.Single(await UsageAsync("ben"));
        Assert.Equal((1u, 1u, 0.0), (lost.Jobs, lost.Failed, lost.ComputeSeconds));
    }

    [Fact(Timeout = Limit)]
    public async Task ADeletedJob_IsForgotten_ItsWatchersAreToldSo_AndItsCostStays()
    {
        await rig.SubmitAsync("a");
        Assert.False(await rig.Queue.DeleteAsync("a", Cancel));           // not before it has ended
        await using IAsyncEnumerator<Event> slow = rig.Queue.WatchAsync("a", 1, Cancel).GetAsyncEnumerator(Cancel);
        Assert.True(await slow.MoveNextAsync());
        await rig.Queue.CancelAsync("a", "", Cancel);
        Assert.True(await rig.Queue.DeleteAsync("a", Cancel));
        NdifException told = await Assert.ThrowsAnyAsync<NdifException>(async () =>
        {
            while (await slow.MoveNextAsync()) { }
        });
        Assert.Equal(ErrorCode.UnknownJob, told.Code);
        Assert.Contains("was deleted", told.Message, StringComparison.Ordinal);

        Assert.Null(await rig.Queue.GetAsync("a", Cancel));
        Assert.Null(await rig.Queue.OwnerAsync("a", Cancel));
        Assert.Empty(await rig.Queue.ListAsync("ana", 10, activeOnly: false, Cancel));
        Assert.Equal(ErrorCode.UnknownJob, (await Assert.ThrowsAnyAsync<NdifException>(() => rig.WatchAsync("a"))).Code);
        Assert.Null(await rig.Queue.DeleteAsync("a", Cancel));
        Assert.Equal(1u, Assert.Single(await UsageAsync("ana")).Cancelled);
        Assert.Equal(JobState.Queued, (await rig.SubmitAsync("a")).State); // its id is free again
    }

    private DateOnly Today => DateOnly.FromDateTime((rig is MemoryRig memory ? memory.Time.GetUtcNow() : DateTimeOffset.UtcNow).UtcDateTime);

    /// <summary>Of today and a day to each side: a test may run at midnight.</summary>
    private Task<IReadOnlyList<UsageRow>> UsageAsync(string owner) => rig.Queue.UsageAsync(owner, Today.AddDays(-1), Today.AddDays(1), Cancel);
}
