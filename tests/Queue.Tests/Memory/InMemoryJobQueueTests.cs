using Ndif.Protocol;
using Ndif.Queue.Memory;
using Ndif.Queue.Tests.Support;


namespace Ndif.Queue.Tests.Memory;

public sealed class InMemoryJobQueueTests : JobQueueContract
{
    protected override Task<JobQueueFixture> NewFixtureAsync(QueueOptions? options = null) =>
        Task.FromResult<JobQueueFixture>(new InMemoryJobQueueFixture(options));

    [Fact]
    public async Task Wait_IsPositionTimesDuration()
    {
        await Fixture.SubmitAsync("a");
        Lease lease = await Fixture.LeaseAsync();
        await Fixture.AdvanceAsync(TimeSpan.FromSeconds(10));
        await Fixture.PublishAsync(lease, JobState.Completed);
        await Fixture.SubmitAsync("b");
        Assert.Equal(20, (await Fixture.SubmitAsync("c")).WaitSeconds);
    }

    [Fact]
    public async Task Wait_FollowsTheRecentJobs_WithoutTheTimeOfALoad()
    {
        await CompleteAsync("a", TimeSpan.FromSeconds(40), load: 30);
        Assert.Equal(10, (await Fixture.SubmitAsync("b")).WaitSeconds, 1e-9);
        await Fixture.LeaseAsync();
        for (int i = 0; i < 3; i++) await CompleteAsync($"c{i}", TimeSpan.FromSeconds(0.5));
        Assert.InRange((await Fixture.SubmitAsync("d")).WaitSeconds, 0.5, 1);

        async Task CompleteAsync(string id, TimeSpan time, double load = 0)
        {
            await Fixture.SubmitAsync(id);
            Lease lease = await Fixture.LeaseAsync();
            await Fixture.AdvanceAsync(time);
            var usage = new Usage { Phases = { new Phase { Name = "load", Seconds = load }, new Phase { Name = "run", Seconds = 0.4 } } };
            Assert.True(await Fixture.Queue.PublishAsync(lease,
                new Event { State = new StateChanged { State = JobState.Completed, Usage = usage } }, Cancel));
        }
    }

    [Fact]
    public async Task AClosedQueue_EndsWhatWaits()
    {
        var queue = new InMemoryJobQueue();
        Task<Lease?> waiting = queue.LeaseAsync("w", ["gpt2"], TimeSpan.FromSeconds(20), Cancel);
        await queue.DisposeAsync();
        await Assert.ThrowsAsync<ObjectDisposedException>(() => waiting);
    }
}
