using Ndif.Protocol;

namespace Ndif.Queue.Tests;

// Jobs that run again, followers, other programs under the same id, the jobs of all owners.
public abstract partial class JobQueueContract
{
    [Fact(Timeout = Limit)]
    public async Task AnAttemptAfterALostOne_BeginsWithARestart_ForEveryReader()
    {
        await _fixture.SubmitAsync("a");
        await _fixture.LogAsync(await _fixture.LeaseAsync("w1"), "one");
        await _fixture.ExpireLeasesAsync();
        Lease second = await _fixture.LeaseAsync("w2");
        await _fixture.LogAsync(second, "two");
        await _fixture.Queue.ReturnAsync(second, Cancel);
        Lease third = await _fixture.LeaseAsync("w3");
        await _fixture.LogAsync(third, "three");
        await _fixture.PublishAsync(third, JobState.Completed);
        Assert.Equal(
            ["Received", "Queued", "one", "Queued", "restart 2", "two", "Queued", "restart 3", "three", "Completed"], await TextsAsync(1));
        Assert.Equal(["two", "Queued", "restart 3", "three", "Completed"], await TextsAsync(6));

        async Task<IEnumerable<string>> TextsAsync(ulong from) => (await _fixture.WatchAsync("a", from)).Select(e =>
            e.Restart is { } restart ? $"restart {restart.Attempt}" : e.State is { } state ? $"{state.State}" : e.Log.Text);
    }

    [Fact(Timeout = Limit)]
    public async Task AJob_IsCancelledByTheLastFollower_WhateverProcessItIsIn()
    {
        await _fixture.SubmitAsync("a");
        IJobQueue other = _fixture.OpenAnother();
        await _fixture.Queue.FollowAsync(["a", "nobody"], "g1", TimeSpan.FromMinutes(1), Cancel);
        await other.FollowAsync(["a"], "g2", TimeSpan.FromMinutes(1), Cancel);
        Assert.Equal(JobState.Queued, (await _fixture.Queue.CancelIfUnfollowedAsync("a", "g1", "gone", Cancel))!.State);
        Assert.Equal(JobState.Cancelled, (await other.CancelIfUnfollowedAsync("a", "g2", "gone", Cancel))!.State);
        Assert.Null(await other.CancelIfUnfollowedAsync("nobody", "g2", "gone", Cancel));
    }

    [Fact(Timeout = Limit)]
    public async Task TheFollowers_OfADeadProcess_Vanish()
    {
        await _fixture.SubmitAsync("a");
        await _fixture.Queue.FollowAsync(["a"], "dead", TimeSpan.FromMilliseconds(30), Cancel);
        await _fixture.Queue.FollowAsync(["a"], "alive", TimeSpan.FromMinutes(1), Cancel);
        await _fixture.AdvanceAsync(TimeSpan.FromMilliseconds(100));
        await Task.Delay(50, Cancel); // for the clock of the server
        Assert.Equal(JobState.Cancelled, (await _fixture.Queue.CancelIfUnfollowedAsync("a", "alive", "gone", Cancel))!.State);
    }

    [Fact(Timeout = Limit)]
    public async Task AFollowerForAlways_KeepsTheJob_UntilItIsCancelled()
    {
        await _fixture.SubmitAsync("a");
        await _fixture.Queue.FollowAsync(["a"], "detached", null, Cancel);
        Assert.Equal(JobState.Queued, (await _fixture.Queue.CancelIfUnfollowedAsync("a", "g1", "gone", Cancel))!.State);
        Assert.Equal(JobState.Cancelled, (await _fixture.Queue.CancelAsync("a", "", Cancel))!.State);
        await _fixture.Queue.FollowAsync(["a"], "g1", null, Cancel); // an ended job is followed by nobody
    }

    [Fact(Timeout = Limit)]
    public async Task AnotherProgram_UnderTheSameId_IsRefused_AndTheSameOneIsTheJob()
    {
        JobSubmission first = new("a", "ana", "gpt2", new byte[] { 1, 2 });
        await _fixture.Queue.SubmitAsync(first, Cancel);
        Assert.Equal("a", (await _fixture.Queue.SubmitAsync(first with { Model = "other" }, Cancel)).Id);
        Assert.Equal("a", (await _fixture.Queue.FindSubmittedAsync("a", "ana", first.Program, Cancel))!.Id);
        Assert.Null(await _fixture.Queue.FindSubmittedAsync("a", "ben", first.Program, Cancel));
        Assert.Null(await _fixture.Queue.FindSubmittedAsync("b", "ana", first.Program, Cancel));
        byte[] another = [1, 3];
        foreach (bool hasEnded in (bool[])[false, true])
        {
            if (hasEnded) await _fixture.CompleteAllAsync();
            NdifException refused = await Assert.ThrowsAnyAsync<NdifException>(
                () => _fixture.Queue.SubmitAsync(first with { Program = another }, Cancel));
            Assert.Equal((ErrorCode.BadArgument, false), (refused.Code, refused.Retryable));
            Assert.Contains("another program", refused.Message, StringComparison.Ordinal);
            await Assert.ThrowsAnyAsync<NdifException>(() => _fixture.Queue.FindSubmittedAsync("a", "ana", another, Cancel));
        }
        Assert.Equal(1, (await _fixture.Queue.CountAsync(Cancel)).Completed);
    }

    [Fact(Timeout = Limit)]
    public async Task TheJobsOfAllOwners_AreListed_WithTheirOwners()
    {
        foreach ((string id, string owner) in ((string, string)[])[("a", "ana"), ("b", "ben"), ("c", "ana")])
            await _fixture.SubmitAsync(id, owner);
        await _fixture.PublishAsync(await _fixture.LeaseAsync(), JobState.Completed);
        Assert.Equal(["c ana", "b ben", "a ana"], await ListAsync(activeOnly: false));
        Assert.Equal(["c ana", "b ben"], await ListAsync(activeOnly: true));
        await _fixture.Queue.DeleteAsync("a", Cancel);
        Assert.Equal(["c ana", "b ben"], await ListAsync(activeOnly: false));

        async Task<IEnumerable<string>> ListAsync(bool activeOnly) =>
            (await _fixture.Queue.ListAsync("", 10, activeOnly, Cancel)).Select(job => $"{job.Id} {job.Owner}");
    }

    [Fact(Timeout = Limit)]
    public async Task AClosedOwner_HasNoJobs_AndGetsNone()
    {
        await _fixture.SubmitAsync("running", "ana");
        Lease lease = await _fixture.LeaseAsync();
        await _fixture.SubmitAsync("waiting", "ana");
        await _fixture.SubmitAsync("other", "ben");
        Assert.Equal(2, await _fixture.Queue.CloseOwnerAsync("ana", "Its key was revoked.", Cancel));
        await WaitForLostAsync(lease);
        foreach (string id in (string[])["running", "waiting"])
        {
            JobInfo ended = await _fixture.GetInfoAsync(id);
            Assert.Equal(JobState.Cancelled, ended.State);
            Assert.Contains("revoked", ended.Error.Message, StringComparison.Ordinal);
        }
        Assert.Equal(JobState.Queued, (await _fixture.GetInfoAsync("other")).State);
        NdifException refused = await Assert.ThrowsAnyAsync<NdifException>(() => _fixture.SubmitAsync("late", "ana"));
        Assert.Equal(ErrorCode.Unauthenticated, refused.Code);
    }

    [Fact(Timeout = Limit)]
    public async Task TwoThatCloseAnOwner_CountEachJobOnce()
    {
        for (int i = 0; i < 20; i++) await _fixture.SubmitAsync($"a{i}", "ana");
        int[] cancelled = await Task.WhenAll(Enumerable.Range(0, 2).Select(
            _ => _fixture.Queue.CloseOwnerAsync("ana", "Its key was revoked.", Cancel)));
        Assert.Equal(20, cancelled.Sum());
    }

    [Fact(Timeout = Limit)]
    public async Task AJobThatAStoppingWorkerGivesBack_IsNotInFrontOfOtherOwners()
    {
        for (int i = 0; i < 3; i++) await _fixture.SubmitAsync($"a{i}", "ana");
        await _fixture.SubmitAsync("b0", "ben");
        Lease[] leases = [await _fixture.LeaseAsync(), await _fixture.LeaseAsync()]; // a0, b0
        await _fixture.SubmitAsync("c0", "cleo");
        Assert.Equal("a0", leases[0].JobId);
        await _fixture.Queue.ReturnAsync(leases[0], Cancel);
        Assert.Equal(["c0", "a0", "a1", "a2"], await _fixture.CompleteAllAsync());
        await _fixture.PublishAsync(leases[1], JobState.Completed);
    }

    [Fact(Timeout = Limit)]
    public async Task ANotice_IsInTheQueuedEvents_AndChangesWithoutAnotherPosition()
    {
        await _fixture.Queue.SubmitAsync(new JobSubmission("a", "ana", "gpt2", new byte[] { 1 }) { Notice = "nobody" }, Cancel);
        Assert.Equal("nobody", (await _fixture.GetInfoAsync("a")).Notice);
        foreach (string notice in (string[])["nobody", "", "", "nobody again"])
            await _fixture.Queue.PublishPositionsAsync(
                ["a"], TimeSpan.Zero, new Dictionary<string, string> { ["gpt2"] = notice, ["other"] = "x" }, Cancel);
        await _fixture.Queue.PublishPositionsAsync(["a"], TimeSpan.Zero, null, Cancel);
        Assert.Equal("nobody again", (await _fixture.GetInfoAsync("a")).Notice);
        await _fixture.CompleteAllAsync();
        Assert.Equal("", (await _fixture.GetInfoAsync("a")).Notice);
        Assert.Equal(["nobody", "", "nobody again"],
            (await _fixture.WatchAsync("a")).Where(e => e.State?.State is JobState.Queued).Select(e => e.State.Notice));
    }
}
