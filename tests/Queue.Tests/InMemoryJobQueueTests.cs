using Ndif.Protocol;

namespace Ndif.Queue.Tests;

public sealed class InMemoryJobQueueTests : QueueContract
{
    protected override Task<QueueRig> NewRigAsync(QueueOptions? options = null) => Task.FromResult<QueueRig>(new MemoryRig(options));

    [Fact]
    public async Task Wait_IsPositionTimesDuration()
    {
        await Rig.SubmitAsync("a");
        Lease lease = await Rig.TakeAsync();
        await Rig.AdvanceAsync(TimeSpan.FromSeconds(10));
        await Rig.PublishAsync(lease, JobState.Completed);
        await Rig.SubmitAsync("b");
        Assert.Equal(20, (await Rig.SubmitAsync("c")).WaitSeconds);
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
