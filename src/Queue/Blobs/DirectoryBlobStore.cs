using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Ndif.Protocol;

namespace Ndif.Queue;

/// <summary>
/// Blobs in a directory that any number of processes may share:
/// <code>
/// root/ab/abcdef...            the bytes; the time of last change is when somebody last asked for them
/// root/ab/abcdef....readers/   an empty file for each owner who may read them and what for, named by the SHA-256 of the owner, and that
///                              of the reason if there is one: `SHA` or `SHA.SHA`
/// root/writing/                what is still being written; becomes a blob by an atomic rename
/// </code>
/// An id is 64 hex digits or it is nobody's: no other name ever becomes a path.
/// </summary>
public sealed class DirectoryBlobStore : IBlobStore
{
    private const int BufferBytes = 128 * 1024;
    private readonly BlobOptions options;
    private readonly TimeProvider time;
    private readonly ILogger logger;
    private readonly string writing;

    public DirectoryBlobStore(BlobOptions? options = null, TimeProvider? time = null, ILogger<DirectoryBlobStore>? logger = null)
    {
        this.options = (options ?? new BlobOptions()).Validate();
        this.time = time ?? TimeProvider.System;
        this.logger = logger ?? NullLogger<DirectoryBlobStore>.Instance;
        writing = Path.Combine(this.options.Root, "writing");
        Directory.CreateDirectory(writing);
    }

    /// <inheritdoc/>
    public Task<BlobRef> PutAsync(Func<Stream, CancellationToken, Task> write, CancellationToken cancellationToken = default) =>
        PutAsync(write, draft => new HashingStream(draft), cancellationToken);

    /// <inheritdoc/>
    public Task<BlobRef> PutNewAsync(Func<Stream, CancellationToken, Task> write, CancellationToken cancellationToken = default) =>
        PutAsync(write, draft => new ChecksumStream(draft), cancellationToken);

    private async Task<BlobRef> PutAsync(Func<Stream, CancellationToken, Task> write, Func<Stream, CountingStream> naming, CancellationToken cancellationToken)
    {
        string draft = Path.Combine(writing, Guid.NewGuid().ToString("n"));
        try
        {
            BlobRef blob;
            await using (CountingStream stream = naming(Draft(draft)))
            {
                await write(stream, cancellationToken);
                await stream.FlushAsync(cancellationToken);
                blob = stream.ToBlob();
            }
            if (!Touch(PathOf(blob.Id))) Publish(draft, blob.Id); // whoever was faster wrote the same bytes
            return blob;
        }
        finally
        {
            File.Delete(draft);
        }
    }

    /// <inheritdoc/>
    public Task<Stream?> OpenAsync(string id, CancellationToken cancellationToken = default)
    {
        cancellationToken.ThrowIfCancellationRequested();
        if (!BlobNames.IsId(id) || !Touch(PathOf(id))) return Task.FromResult<Stream?>(null);
        try
        {
            return Task.FromResult<Stream?>(new FileStream(
                PathOf(id), FileMode.Open, FileAccess.Read, FileShare.Read | FileShare.Delete, bufferSize: 0, FileOptions.Asynchronous));
        }
        catch (FileNotFoundException)
        {
            return Task.FromResult<Stream?>(null); // swept in between
        }
    }

    /// <inheritdoc/>
    /// <remarks>Asking counts as use: what a client is told is there stays until its job comes for it.</remarks>
    public Task<bool> ExistsAsync(string id, CancellationToken cancellationToken = default) =>
        Task.FromResult(BlobNames.IsId(id) && Touch(PathOf(id)));

    /// <inheritdoc/>
    public Task GrantAsync(string id, string owner, string reason = "", CancellationToken cancellationToken = default)
    {
        if (!BlobNames.IsId(id) || !Touch(PathOf(id))) throw QueueErrors.UnknownBlob(id);
        try
        {
            Directory.CreateDirectory(ReadersOf(id));
            File.WriteAllBytes(Path.Combine(ReadersOf(id), BlobNames.Grant(owner, reason)), []);
        }
        catch (DirectoryNotFoundException)
        {
            throw QueueErrors.UnknownBlob(id); // as below
        }
        if (!IsLiving(PathOf(id))) throw QueueErrors.UnknownBlob(id); // released by its last owner at this moment
        return Task.CompletedTask;
    }

    /// <inheritdoc/>
    public Task<bool> ReleaseAsync(string id, string owner, string reason = "", CancellationToken cancellationToken = default)
    {
        if (!BlobNames.IsId(id) || !Directory.Exists(ReadersOf(id))) return Task.FromResult(false);
        string grant = Path.Combine(ReadersOf(id), BlobNames.Grant(owner, reason));
        if (!File.Exists(grant)) return Task.FromResult(false);
        File.Delete(grant);
        if (!Directory.EnumerateFileSystemEntries(ReadersOf(id)).Any())
        {
            File.Delete(PathOf(id));
            Directory.Delete(ReadersOf(id), recursive: true);
        }
        return Task.FromResult(!IsGranted(id, owner));
    }

    /// <inheritdoc/>
    public Task<bool> MayReadAsync(string id, string owner, CancellationToken cancellationToken = default) =>
        Task.FromResult(BlobNames.IsId(id) && IsLiving(PathOf(id)) && IsGranted(id, owner));

    /// <inheritdoc/>
    public Task<int> SweepAsync(CancellationToken cancellationToken = default)
    {
        int swept = 0;
        foreach (string path in Directory.EnumerateDirectories(options.Root).SelectMany(Directory.EnumerateFiles))
        {
            cancellationToken.ThrowIfCancellationRequested();
            if (IsLiving(path)) continue;
            File.Delete(path);
            if (!BlobNames.IsId(Path.GetFileName(path))) continue; // an abandoned draft
            if (Directory.Exists(ReadersOf(Path.GetFileName(path)))) Directory.Delete(ReadersOf(Path.GetFileName(path)), recursive: true);
            swept++;
        }
        if (swept > 0) Log.BlobsSwept(logger, swept);
        return Task.FromResult(swept);
    }

    private static FileStream Draft(string path) =>
        new(path, FileMode.CreateNew, FileAccess.Write, FileShare.Delete, BufferBytes, FileOptions.Asynchronous);

    /// <summary>Gives a draft its name, in one step.</summary>
    private void Publish(string draft, string id)
    {
        File.SetLastWriteTimeUtc(draft, Now);
        Directory.CreateDirectory(Path.GetDirectoryName(PathOf(id))!);
        File.Move(draft, PathOf(id), overwrite: true);
    }

    private DateTime Now => time.GetUtcNow().UtcDateTime;

    private string PathOf(string id) => Path.Combine(options.Root, id[..2], id);

    private string ReadersOf(string id) => PathOf(id) + ".readers";

    private bool IsGranted(string id, string owner) =>
        Directory.Exists(ReadersOf(id)) && Directory.EnumerateFiles(ReadersOf(id), BlobNames.Grant(owner) + "*").Any();

    // A missing file's time is in the year 1601.
    private bool IsLiving(string path) => File.GetLastWriteTimeUtc(path) + options.TimeToLive > Now;

    /// <summary>True if the file is there; its life begins anew.</summary>
    private bool Touch(string path)
    {
        if (!IsLiving(path)) return false;
        try
        {
            File.SetLastWriteTimeUtc(path, Now);
            return true;
        }
        catch (FileNotFoundException)
        {
            return false; // swept in between
        }
    }
}
