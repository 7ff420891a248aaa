using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Ndif.Protocol;

namespace Ndif.Queue.Blobs;

/// <summary>
/// Stores blobs in a directory that any number of processes may share:
/// <code>
/// root/ab/abcdef...            the bytes; the last write time is the time of the last use
/// root/ab/abcdef....readers/   one empty file per grant (<see cref="BlobNames.GetGrantName"/>)
/// root/writing/                drafts: unfinished blobs, which an atomic rename turns into blobs
/// </code>
/// Only ids of 64 hex digits become paths.
/// </summary>
public sealed class DirectoryBlobStore : IBlobStore
{
    private const int BufferBytes = 128 * 1024;
    private readonly BlobOptions _options;
    private readonly TimeProvider _time;
    private readonly ILogger _logger;
    private readonly string _draftDirectory;

    /// <param name="time">The clock; null for that of the file system, so that machines with different clocks agree.</param>
    public DirectoryBlobStore(BlobOptions? options = null, TimeProvider? time = null, ILogger<DirectoryBlobStore>? logger = null)
    {
        _options = (options ?? new BlobOptions()).Validate();
        _logger = logger ?? NullLogger<DirectoryBlobStore>.Instance;
        _draftDirectory = Path.Combine(_options.Root, "writing");
        StorageFailure.ThrowIfReadOnly(_draftDirectory);
        _time = time ?? new FileSystemClock(_draftDirectory);
    }

    /// <summary>The folder of the blobs.</summary>
    public string Folder => _options.Root;

    /// <inheritdoc/>
    public Task<BlobRef> PutAsync(Func<Stream, CancellationToken, Task> write, CancellationToken cancellationToken = default) =>
        PutAsync(write, draft => new HashingStream(draft), null, cancellationToken);

    /// <inheritdoc/>
    public Task<BlobRef> PutGrantedAsync(
        Func<Stream, CancellationToken, Task> write, Func<BlobRef, string> getOwner, CancellationToken cancellationToken = default) =>
        PutAsync(write, draft => new HashingStream(draft), getOwner, cancellationToken);

    /// <inheritdoc/>
    public Task<BlobRef> PutNewAsync(Func<Stream, CancellationToken, Task> write, CancellationToken cancellationToken = default) =>
        PutAsync(write, draft => new ChecksumStream(draft), null, cancellationToken);

    private async Task<BlobRef> PutAsync(
        Func<Stream, CancellationToken, Task> write, Func<Stream, CountingStream> createStream, Func<BlobRef, string>? getOwner,
        CancellationToken cancellationToken)
    {
        string draftPath = Path.Combine(_draftDirectory, Guid.NewGuid().ToString("n"));
        try
        {
            BlobRef blob;
            await using (CountingStream stream = createStream(CreateDraft(draftPath)))
            {
                await write(stream, cancellationToken);
                await stream.FlushAsync(cancellationToken);
                blob = stream.ToBlobRef();
            }
            // The grant is first: a deletion that has begun sees it, and leaves the bytes.
            if (getOwner?.Invoke(blob) is { } owner) WriteGrant(blob.Id, BlobNames.GetGrantName(owner));
            if (!Touch(GetBlobPath(blob.Id))) CommitDraft(draftPath, blob.Id); // otherwise another writer stored the same bytes
            return blob;
        }
        finally
        {
            File.Delete(draftPath);
        }
    }

    /// <inheritdoc/>
    public Task<Stream?> OpenAsync(string id, CancellationToken cancellationToken = default)
    {
        cancellationToken.ThrowIfCancellationRequested();
        if (!BlobNames.IsId(id) || !Touch(GetBlobPath(id))) return Task.FromResult<Stream?>(null);
        try
        {
            return Task.FromResult<Stream?>(new FileStream(
                GetBlobPath(id), FileMode.Open, FileAccess.Read, FileShare.Read | FileShare.Delete, bufferSize: 0,
                FileOptions.Asynchronous));
        }
        catch (FileNotFoundException)
        {
            return Task.FromResult<Stream?>(null); // deleted since the check
        }
    }

    /// <inheritdoc/>
    /// <remarks>The check counts as a use, so that a blob which a client found remains until its job reads it.</remarks>
    public Task<bool> ExistsAsync(string id, CancellationToken cancellationToken = default) =>
        Task.FromResult(BlobNames.IsId(id) && Touch(GetBlobPath(id)));

    /// <inheritdoc/>
    public Task GrantAsync(string id, string owner, string reason = "", CancellationToken cancellationToken = default)
    {
        if (!BlobNames.IsId(id) || !Touch(GetBlobPath(id))) throw QueueErrors.UnknownBlob(id);
        WriteGrant(id, BlobNames.GetGrantName(owner, reason));
        if (!IsUnexpired(GetBlobPath(id))) throw QueueErrors.UnknownBlob(id); // its last grant was revoked concurrently
        return Task.CompletedTask;
    }

    /// <inheritdoc/>
    public Task<bool> RevokeAsync(string id, string owner, string reason = "", CancellationToken cancellationToken = default)
    {
        if (!BlobNames.IsId(id) || !Directory.Exists(GetGrantDirectory(id))) return Task.FromResult(false);
        string grant = Path.Combine(GetGrantDirectory(id), BlobNames.GetGrantName(owner, reason));
        if (!File.Exists(grant)) return Task.FromResult(false);
        try
        {
            File.Delete(grant);
        }
        catch (DirectoryNotFoundException)
        {
            return Task.FromResult(false); // the last grant was taken back at the same time
        }
        if (TryDeleteGrantDirectory(id)) TryDeleteBlob(id, _ => !Directory.Exists(GetGrantDirectory(id)));
        return Task.FromResult(!IsGranted(id, owner));
    }

    /// <inheritdoc/>
    public Task<bool> CanReadAsync(string id, string owner, CancellationToken cancellationToken = default) =>
        Task.FromResult(BlobNames.IsId(id) && IsUnexpired(GetBlobPath(id)) && IsGranted(id, owner));

    /// <inheritdoc/>
    public Task<int> DeleteExpiredAsync(CancellationToken cancellationToken = default)
    {
        int deleted = 0;
        foreach (string path in Directory.EnumerateDirectories(_options.Root).SelectMany(Directory.EnumerateFiles))
        {
            cancellationToken.ThrowIfCancellationRequested();
            if (IsUnexpired(path)) continue;
            string id = Path.GetFileName(path);
            if (!BlobNames.IsId(id)) File.Delete(path); // an abandoned draft
            else if (TryDeleteBlob(id, removed => !IsUnexpired(removed)))
            {
                if (Directory.Exists(GetGrantDirectory(id)) && !File.Exists(path))
                    Directory.Delete(GetGrantDirectory(id), recursive: true);
                deleted++;
            }
        }
        if (deleted > 0) Log.BlobsSwept(_logger, deleted);
        return Task.FromResult(deleted);
    }

    private static FileStream CreateDraft(string path) =>
        new(path, FileMode.CreateNew, FileAccess.Write, FileShare.Delete, BufferBytes, FileOptions.Asynchronous);

    /// <summary>Turns a draft into a blob by an atomic rename.</summary>
    private void CommitDraft(string draftPath, string id)
    {
        if (!SetTime(draftPath)) throw QueueErrors.UnknownBlob(id); // the draft was taken for an abandoned one
        Directory.CreateDirectory(Path.GetDirectoryName(GetBlobPath(id))!);
        File.Move(draftPath, GetBlobPath(id), overwrite: true);
    }

    private DateTime Now => _time.GetUtcNow().UtcDateTime;

    private string GetBlobPath(string id) => Path.Combine(_options.Root, id[..2], id);

    private string GetGrantDirectory(string id) => GetBlobPath(id) + ".readers";

    private bool IsGranted(string id, string owner) =>
        Directory.Exists(GetGrantDirectory(id))
        && Directory.EnumerateFiles(GetGrantDirectory(id), BlobNames.GetGrantName(owner) + "*").Any();

    // The last write time of a missing file is in the year 1601, so a missing file counts as expired.
    private bool IsUnexpired(string path) => File.GetLastWriteTimeUtc(path) + _options.TimeToLive > Now;

    /// <summary>Extends the lifetime of a blob. Returns false if there is none.</summary>
    private bool Touch(string path)
    {
        if (!IsUnexpired(path)) return false;
        return SetTime(path); // it may be deleted since the check
    }

    private bool SetTime(string path)
    {
        if (_time is FileSystemClock) return FileSystemClock.Touch(path);
        try
        {
            File.SetLastWriteTimeUtc(path, Now);
            return true;
        }
        catch (FileNotFoundException)
        {
            return false;
        }
    }

    private void WriteGrant(string id, string name)
    {
        for (int attempt = 1; ; attempt++)
        {
            try
            {
                Directory.CreateDirectory(GetGrantDirectory(id));
                File.WriteAllBytes(Path.Combine(GetGrantDirectory(id), name), []);
                return;
            }
            catch (DirectoryNotFoundException) when (attempt < 100)
            {
                // the last of the other grants was revoked at this moment
            }
        }
    }

    /// <summary>Deletes the directory of the grants of a blob if there is none in it. This is one step of the file system.</summary>
    private bool TryDeleteGrantDirectory(string id)
    {
        try
        {
            Directory.Delete(GetGrantDirectory(id), recursive: false);
            return true;
        }
        catch (DirectoryNotFoundException)
        {
            return true;
        }
        catch (IOException)
        {
            return false; // it is not empty
        }
    }

    /// <summary>
    /// Deletes the bytes of a blob, unless it is used: they are moved aside first, and moved back if <paramref name="mayDelete"/> (called
    /// with their path) says no. Whoever grants or uses the blob has either done so before the move, which the check sees, or finds none.
    /// </summary>
    private bool TryDeleteBlob(string id, Func<string, bool> mayDelete)
    {
        string aside = Path.Combine(_draftDirectory, $"deleted-{Guid.NewGuid():n}");
        try
        {
            File.Move(GetBlobPath(id), aside);
        }
        catch (Exception missing) when (missing is FileNotFoundException or DirectoryNotFoundException)
        {
            return false;
        }
        if (mayDelete(aside))
        {
            File.Delete(aside);
            return true;
        }
        File.Move(aside, GetBlobPath(id), overwrite: true);
        return false;
    }
}
