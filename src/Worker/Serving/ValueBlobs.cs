using System.Runtime.ExceptionServices;
using Ndif.Queue;

namespace Ndif.Worker.Serving;

/// <summary>
/// The blobs of one value that a job sends back. The queue counts, and deletes with the job, those that a published event names
/// (publish.lua). The others are revoked when the job ends here, also those that are written after that: no quota counts them, and they
/// would stay until they expire.
/// </summary>
internal sealed class ValueBlobs(Lease lease, IBlobStore store)
{
    private readonly Lock _lock = new();
    private readonly List<Task> _writes = [];
    private readonly List<string> _granted = [];
    private State _state;

    private enum State
    {
        Unpublished, Publishing, Published, Revoked,
    }

    /// <summary>Completes when all blobs are written; it faults, or is cancelled, if one is not.</summary>
    public Task Written => Task.WhenAll(_writes);

    /// <summary>The writing of the blobs that are not written, in the order in which they are.</summary>
    public IEnumerable<Task> Unwritten => _writes.Where(write => !write.IsCompletedSuccessfully);

    public bool IsPublished
    {
        get
        {
            lock (_lock) return _state is State.Published;
        }
    }

    /// <summary>Adds the writing of a blob. Called on the thread of the model, before the event of the value is enqueued.</summary>
    public void AddWrite(Task write) => _writes.Add(write);

    /// <summary>Adds a blob that was granted to the owner of the job; revokes it if the value is not published any more.</summary>
    public async Task AddGrantedAsync(string blob)
    {
        lock (_lock)
        {
            if (_state is not State.Revoked)
            {
                _granted.Add(blob);
                return;
            }
        }
        await RevokeAsync([blob]);
    }

    /// <summary>Called before the event that names the blobs is published. Returns false if they have been revoked.</summary>
    public bool TryBeginPublishing()
    {
        lock (_lock)
        {
            if (_state is State.Revoked) return false;
            _state = State.Publishing;
            return true;
        }
    }

    /// <summary>Called with whether the event was published. While that is not known, the blobs are not revoked.</summary>
    public void EndPublishing(bool isPublished)
    {
        lock (_lock) _state = isPublished ? State.Published : State.Unpublished;
    }

    /// <summary>Revokes the blobs of a value that was not published.</summary>
    public Task RevokeUnpublishedAsync()
    {
        lock (_lock)
        {
            if (_state is not State.Unpublished) return Task.CompletedTask;
            _state = State.Revoked;
        }
        return RevokeAsync(_granted); // which nothing changes any more
    }

    private async Task RevokeAsync(List<string> blobs)
    {
        Exception? failure = null;
        foreach (string blob in blobs)
        {
            try
            {
                await store.RevokeAsync(blob, lease.Owner, lease.JobId, CancellationToken.None);
            }
            catch (Exception e)
            {
                failure = e; // the others are revoked nevertheless
            }
        }
        if (failure is not null) ExceptionDispatchInfo.Throw(failure);
    }
}
