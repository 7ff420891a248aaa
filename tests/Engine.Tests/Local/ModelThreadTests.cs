using Ndif.Engine.Local;

namespace Ndif.Engine.Tests.Local;

public sealed class ModelThreadTests
{
    [Fact]
    public async Task Work_RunsInOrder_OnOneThread()
    {
        using var thread = new ModelThread("test");
        List<int> order = [];
        Task<int>[] work = [.. Enumerable.Range(0, 50).Select(i => thread.RunAsync(() =>
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
        using var thread = new ModelThread("test");
        await Assert.ThrowsAsync<FormatException>(() => thread.RunAsync<int>(() => throw new FormatException()));
        Assert.Equal(1, await thread.RunAsync(() => 1));
    }

    [Fact]
    public async Task DisposedByItsOwnWork_ItEnds_AfterTheRest()
    {
        var thread = new ModelThread("test");
        using var both = new ManualResetEventSlim();
        Task<int> disposing = thread.RunAsync(() =>
        {
            both.Wait();
            thread.Dispose();
            return 1;
        });
        Task<int> rest = thread.RunAsync(() => 2);
        both.Set();
        Assert.Equal(1, await disposing);
        Assert.Equal(2, await rest);
        await Assert.ThrowsAsync<ObjectDisposedException>(() => thread.RunAsync(() => 3));
    }
}
