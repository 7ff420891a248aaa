using Ndif.Queue.Tests.Support;

namespace Ndif.Queue.Tests;

/// <summary>The contract test of all queue implementations.</summary>
public abstract partial class JobQueueContract : IAsyncLifetime
{
    private const int Limit = 30_000;
    private JobQueueFixture _fixture = null!;

    protected abstract Task<JobQueueFixture> NewFixtureAsync(QueueOptions? options = null);

    protected JobQueueFixture Fixture => _fixture;

    protected static CancellationToken Cancel => TestContext.Current.CancellationToken;

    public async ValueTask InitializeAsync() => _fixture = await NewFixtureAsync();

    public async ValueTask DisposeAsync()
    {
        await _fixture.DisposeAsync();
        GC.SuppressFinalize(this);
    }

    /// <summary>Waits for a lease to be reported lost.</summary>
    private static async Task WaitForLostAsync(Lease lease)
    {
        var lost = new TaskCompletionSource();
        await using CancellationTokenRegistration registration = lease.Lost.Register(lost.SetResult);
        await lost.Task.WaitAsync(TimeSpan.FromSeconds(1), Cancel);
    }
}
