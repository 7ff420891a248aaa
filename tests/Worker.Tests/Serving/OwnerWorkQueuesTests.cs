using Ndif.Worker.Serving;
using Ndif.Worker.Tests.Support;

namespace Ndif.Worker.Tests.Serving;

public sealed class OwnerWorkQueuesTests
{
    private readonly OwnerWorkQueues _queues = new();

    [Fact]
    public async Task AfterWorkThatIsCancelledWhileItWaits_TheNextWaitsForTheWorkBeforeIt()
    {
        var first = new Work();
        Task running = RunAsync(first);
        using var cancel = new CancellationTokenSource();
        Task cancelled = _queues.RunAsync("ana", () => throw new InvalidOperationException("It was cancelled."), cancel.Token);
        await cancel.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => cancelled);
        Work next = new(), other = new();
        Task waiting = RunAsync(next), others = _queues.RunAsync("bob", other.RunAsync, WorkerTestCluster.Cancel);
        Assert.Equal([true, false, true], [first.HasBegun, next.HasBegun, other.HasBegun]);
        first.End();
        await running;
        next.End();
        await waiting.WaitAsync(TimeSpan.FromSeconds(60), WorkerTestCluster.Cancel);
        other.End();
        await others;
    }

    [Fact]
    public async Task AfterWorkThatFails_TheNextRuns()
    {
        Task failing = _queues.RunAsync("ana", () => Task.FromException(new IOException()), WorkerTestCluster.Cancel);
        var next = new Work();
        Task running = RunAsync(next);
        next.End();
        await running.WaitAsync(TimeSpan.FromSeconds(60), WorkerTestCluster.Cancel);
        await Assert.ThrowsAsync<IOException>(() => failing);
    }

    private Task RunAsync(Work work) => _queues.RunAsync("ana", work.RunAsync, WorkerTestCluster.Cancel);

    /// <summary>Work that ends when it is told to.</summary>
    private sealed class Work
    {
        private readonly TaskCompletionSource _ended = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public bool HasBegun { get; private set; }

        public void End() => _ended.TrySetResult();

        public Task RunAsync()
        {
            HasBegun = true;
            return _ended.Task;
        }
    }
}
