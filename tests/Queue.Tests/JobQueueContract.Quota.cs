using Ndif.Protocol;

namespace Ndif.Queue.Tests;

/// <summary>Quotas are enforced by the queue.</summary>
public abstract partial class JobQueueContract
{
    private static readonly Quota _largeQuota = new(InFlight: 1000, PerMinute: 1000, Waiting: 1000, Depth: 1000);

    [Fact(Timeout = Limit)]
    public async Task SubmissionsAtTheSameTime_ThroughTwoGateways_NeverPassABoundTogether()
    {
        IJobQueue[] gateways = [_fixture.Queue, _fixture.OpenAnother()];
        foreach ((string owner, Quota quota) in ((string, Quota)[])[("ana", _largeQuota with { InFlight = 7 }),
            ("ben", _largeQuota with { PerMinute = 7 }), ("cleo", _largeQuota with { Waiting = 7 })])
        {
            NdifException?[] refusals = await Task.WhenAll(Enumerable.Range(0, 60).Select(i => Task.Run(
                () => RefusalAsync(_fixture.SubmitAsync($"{owner}{i}", quota, owner, queue: gateways[i % 2])))));
            Assert.Equal(53, refusals.Count(refusal => refusal?.Code == ErrorCode.QuotaExceeded));
            Assert.Equal(7, (await _fixture.Queue.ListAsync(owner, 100, activeOnly: false, Cancel)).Count);
        }
        NdifException?[] full = await Task.WhenAll(Enumerable.Range(0, 60).Select(i => Task.Run(
            () => RefusalAsync(
            _fixture.SubmitAsync($"d{i}", _largeQuota with { Depth = 28 }, $"o{i}", model: $"m{i % 3}", queue: gateways[i % 2])))));
        Assert.Equal(53, full.Count(refusal => refusal?.Code == ErrorCode.Unavailable)); // 21 jobs of the first three owners wait
        Assert.Equal(28, (await _fixture.Queue.CountAsync(Cancel)).Waiting);
    }

    [Fact(Timeout = Limit)]
    public async Task JobsInFlight_AreThoseThatWaitOrRun_AndTheRefusalSaysBothNumbers()
    {
        Quota two = _largeQuota with { InFlight = 2 };
        await _fixture.SubmitAsync("a", two);
        Lease lease = await _fixture.LeaseAsync();
        Assert.Equal(5000, lease.MaxResultBytes);
        await _fixture.SubmitAsync("b", two);
        NdifException refusal = Assert.IsType<NdifException>(await RefusalAsync(_fixture.SubmitAsync("c", two)), exactMatch: false);
        Assert.Equal("2 of your jobs wait or run; your key may have 2 at once.", refusal.Message.Split('\n')[0]);
        Assert.Equal((true, 1), (refusal.Error.Retryable, refusal.Error.RetryAfterSeconds));
        await _fixture.SubmitAsync("c", two, owner: "ben");                    // another owner is not affected
        Assert.Equal("b", (await _fixture.SubmitAsync("b", two)).Id);          // resubmitting a job does not count
        await _fixture.PublishAsync(lease, JobState.Completed);
        await _fixture.SubmitAsync("c2", two);
    }

    [Fact(Timeout = Limit)]
    public async Task TheRate_CountsWhatWasAccepted_AlsoIfItHasEndedOrWasDeleted_UntilItIsAMinuteOld()
    {
        Quota three = _largeQuota with { PerMinute = 3 };
        foreach (string id in (string[])["a", "b", "c"]) await _fixture.SubmitAsync(id, three);
        await _fixture.Queue.CancelAsync("a", "", Cancel);
        await _fixture.Queue.DeleteAsync("a", Cancel);
        for (int i = 0; i < 5; i++)
        {
            NdifException refusal = Assert.IsType<NdifException>(await RefusalAsync(_fixture.SubmitAsync("d", three)), exactMatch: false);
            Assert.Equal("Your key may submit 3 jobs a minute, and has done so.", refusal.Message.Split('\n')[0]);
            Assert.InRange(refusal.Error.RetryAfterSeconds, 55, 60);
        }
        await _fixture.AdvanceAsync(TimeSpan.FromSeconds(40));
        Assert.InRange((await RefusalAsync(_fixture.SubmitAsync("d", three)))!.Error.RetryAfterSeconds, 15, 20);
        await _fixture.AdvanceAsync(TimeSpan.FromSeconds(21));
        await _fixture.SubmitAsync("d", three);
    }

    [Fact(Timeout = Limit)]
    public async Task OnesOwnWaitingJobs_AreBounded_AndThoseThatRunDoNotCount()
    {
        Quota one = _largeQuota with { Waiting = 1 };
        await _fixture.SubmitAsync("a", one);
        NdifException refusal = Assert.IsType<NdifException>(
            await RefusalAsync(_fixture.SubmitAsync("b", one, model: "other")), exactMatch: false);
        Assert.Equal("1 of your jobs wait; your key may fill 1 places of the queue.", refusal.Message.Split('\n')[0]);
        Lease lease = await _fixture.LeaseAsync();
        await _fixture.SubmitAsync("b", one);
        await _fixture.Queue.ReturnAsync(lease, Cancel);                       // a returned job does not count for the limit
        await _fixture.Queue.CancelAsync("b", "", Cancel);
        await _fixture.SubmitAsync("c", one);
    }

    [Fact(Timeout = Limit)]
    public async Task AFullQueue_RefusesEverybody_UntilAJobLeavesIt()
    {
        Quota two = _largeQuota with { Depth = 2 };
        await _fixture.SubmitAsync("a", two);
        await _fixture.SubmitAsync("b", two, owner: "ben", model: "other");
        NdifException refusal = Assert.IsType<NdifException>(
            await RefusalAsync(_fixture.SubmitAsync("c", two, owner: "cleo")), exactMatch: false);
        Assert.Equal(("2 jobs wait, and this service lets 2 wait.", ErrorCode.Unavailable), (refusal.Message.Split('\n')[0], refusal.Code));
        await _fixture.LeaseAsync();
        await _fixture.SubmitAsync("c", two, owner: "cleo");
    }

    private static async Task<NdifException?> RefusalAsync(Task submission)
    {
        try
        {
            await submission;
            return null;
        }
        catch (NdifException refusal)
        {
            return refusal;
        }
    }
}
