using Ndif.Protocol;
using Ndif.Queue;

namespace Ndif.Worker.Tests.Support;

/// <summary>
/// A blob store on a disk that does not answer: a call holds its thread, whatever is cancelled, until the store is released.
/// </summary>
internal sealed class StuckBlobStore : IBlobStore, IDisposable
{
    private readonly TaskCompletionSource _entered = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly ManualResetEventSlim _released = new();

    /// <summary>Completes when a thread is stuck.</summary>
    public Task Entered => _entered.Task;

    public void Release() => _released.Set();

    public void Dispose() => _released.Dispose();

    public Task<BlobRef> PutNewAsync(Func<Stream, CancellationToken, Task> write, CancellationToken cancellationToken = default)
    {
        BeStuck();
        throw new IOException("The disk did not answer.");
    }

    private void BeStuck()
    {
        _entered.TrySetResult();
        _released.Wait(TimeSpan.FromMinutes(1), CancellationToken.None);
    }

    public Task<BlobRef> PutAsync(Func<Stream, CancellationToken, Task> write, CancellationToken cancellationToken = default) =>
        throw new NotSupportedException();

    public Task<BlobRef> PutGrantedAsync(Func<Stream, CancellationToken, Task> write, Func<BlobRef, string> getOwner,
        CancellationToken cancellationToken = default) => throw new NotSupportedException();

    public Task<Stream?> OpenAsync(string id, CancellationToken cancellationToken = default) => throw new NotSupportedException();

    public Task<bool> ExistsAsync(string id, CancellationToken cancellationToken = default) => throw new NotSupportedException();

    public Task GrantAsync(string id, string owner, string reason = "", CancellationToken cancellationToken = default) =>
        throw new NotSupportedException();

    public Task<bool> RevokeAsync(string id, string owner, string reason = "", CancellationToken cancellationToken = default) =>
        throw new NotSupportedException();

    public Task<bool> CanReadAsync(string id, string owner, CancellationToken cancellationToken = default)
    {
        BeStuck();
        throw new IOException("The disk did not answer.");
    }

    public Task<int> DeleteExpiredAsync(CancellationToken cancellationToken = default) => throw new NotSupportedException();
}
