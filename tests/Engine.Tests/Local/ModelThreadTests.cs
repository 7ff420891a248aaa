using Ndif.Engine.Local;

namespace Ndif.Engine.Tests.Local;

public sealed class ModelThreadTests
{
    [Fact]
    public async Task Work_RunsInOrder_OnOneThread()
    {
        using var lane = new ModelThread("test");
        List<int> order = [];
        Task<int>[] work = [.. Enumerable.Range(0, 50).Select(i => lane.RunAsync(() =>
        {
            order.Add(i);
            return Environment.CurrentManagedThreadId;
        }))];
        Assert.Single((await Task.WhenAll(work)).Distinct());
        Assert.Equal(Enumerable.Range(0, 50), order);
    }

    [Fact]
    public async Task AFailure_IsItsCallersOwn()
    {
        using var lane = new ModelThread("test");
        await Assert.ThrowsAsync<FormatException>(() => lane.RunAsync<int>(() => throw new FormatException()));
        Assert.Equal(1, await lane.RunAsync(() => 1));
    }

    [Fact]
    public async Task DisposedByItsOwnWork_ItEnds_AfterTheRest()
    {
        var lane = new ModelThread("test");
        using var both = new ManualResetEventSlim();
        Task<int> disposing = lane.RunAsync(() =>
        {
            both.Wait();
            lane.Dispose();
            return 1;
        });
        Task<int> rest = lane.RunAsync(() => 2);
        both.Set();
        Assert.Equal(1, await disposing);
        Assert.Equal(2, await rest);
        await Assert.ThrowsAsync<ObjectDisposedException>(() => lane.RunAsync(() => 3));
    }
}
