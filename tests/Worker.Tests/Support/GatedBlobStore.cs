using Ndif.Protocol;
using Ndif.Queue;

namespace Ndif.Worker.Tests.Support;

/// <summary>A blob store on a slow disk: results are written, and constants are found, when the gate is open, or fail.</summary>
internal sealed class GatedBlobStore(IBlobStore disk) : IBlobStore
{
    private readonly TaskCompletionSource _open = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource _entered = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource _reading = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private int _begun, _writes, _mostWrites;

    /// <summary>The results that are written although the gate is closed: the first ones.</summary>
    public int FreeWrites { get; set; }

    /// <summary>Completes when the first result waits for the gate.</summary>
    public Task Entered => _entered.Task;

    /// <summary>Completes when a constant is to be read.</summary>
    public Task Reading => _reading.Task;

    /// <summary>The most results that were written at a time.</summary>
    public int MostWrites => _mostWrites;

    public void Open() => _open.TrySetResult();

    /// <summary>Lets all writes fail.</summary>
    public void Fail(Exception failure) => _open.TrySetException(failure);

    public async Task<BlobRef> PutNewAsync(Func<Stream, CancellationToken, Task> write, CancellationToken cancellationToken = default)
    {
        if (Interlocked.Increment(ref _begun) <= FreeWrites) return await disk.PutNewAsync(write, cancellationToken);
        _mostWrites = Math.Max(_mostWrites, Interlocked.Increment(ref _writes));
        try
        {
            return await disk.PutNewAsync(async (stream, cancelled) =>
            {
                _entered.TrySetResult();
                await _open.Task.WaitAsync(cancelled);
                await write(stream, cancelled);
            }, cancellationToken);
        }
        finally
        {
            Interlocked.Decrement(ref _writes);
        }
    }

    public Task<BlobRef> PutAsync(Func<Stream, CancellationToken, Task> write, CancellationToken cancellationToken = default) =>
        disk.PutAsync(write, cancellationToken);

    public Task<BlobRef> PutGrantedAsync(Func<Stream, CancellationToken, Task> write, Func<BlobRef, string> getOwner,
        CancellationToken cancellationToken = default) => disk.PutGrantedAsync(write, getOwner, cancellationToken);

    public Task<Stream?> OpenAsync(string id, CancellationToken cancellationToken = default) => disk.OpenAsync(id, cancellationToken);

    public Task<bool> ExistsAsync(string id, CancellationToken cancellationToken = default) => disk.ExistsAsync(id, cancellationToken);

    public Task GrantAsync(string id, string owner, string reason = "", CancellationToken cancellationToken = default) =>
        disk.GrantAsync(id, owner, reason, cancellationToken);

    public Task<bool> RevokeAsync(string id, string owner, string reason = "", CancellationToken cancellationToken = default) =>
        disk.RevokeAsync(id, owner, reason, cancellationToken);

    public async Task<bool> CanReadAsync(string id, string owner, CancellationToken cancellationToken = default)
    {
        _reading.TrySetResult();
        await _open.Task.WaitAsync(cancellationToken);
        return await disk.CanReadAsync(id, owner, cancellationToken);
    }

    public Task<int> DeleteExpiredAsync(CancellationToken cancellationToken = default) => disk.DeleteExpiredAsync(cancellationToken);
}
