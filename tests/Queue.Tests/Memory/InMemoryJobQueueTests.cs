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
    public async Task AClosedQueue_EndsWhatWaits()
    {
        var queue = new InMemoryJobQueue();
        Task<Lease?> waiting = queue.LeaseAsync("w", ["gpt2"], TimeSpan.FromSeconds(20), Cancel);
        await queue.DisposeAsync();
        await Assert.ThrowsAsync<ObjectDisposedException>(() => waiting);
    }
}
