namespace Ndif.Queue.Tests;

/// <summary>What every queue must do. Each implementation runs all of it.</summary>
public abstract partial class QueueContract : IAsyncLifetime
{
    private const int Limit = 30_000;
    private QueueRig rig = null!;

    protected abstract Task<QueueRig> NewRigAsync(QueueOptions? options = null);

    protected QueueRig Rig => rig;

    protected static CancellationToken Cancel => TestContext.Current.CancellationToken;

    public async ValueTask InitializeAsync() => rig = await NewRigAsync();

    public async ValueTask DisposeAsync()
    {
        await rig.DisposeAsync();
        GC.SuppressFinalize(this);
    }

    /// <summary>Waits for a lease to be reported lost.</summary>
    private static async Task Lost(Lease lease)
    {
        var lost = new TaskCompletionSource();
        await using CancellationTokenRegistration registration = lease.Lost.Register(lost.SetResult);
        await lost.Task.WaitAsync(TimeSpan.FromSeconds(1), Cancel);
    }
}
