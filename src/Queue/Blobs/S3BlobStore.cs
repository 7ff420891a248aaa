using System.Net;
using Amazon.Runtime;
using Amazon.S3;
using Amazon.S3.Model;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Ndif.Protocol;

namespace Ndif.Queue;

/// <summary>
/// Blobs in a bucket of Amazon's S3, or of another store that speaks it:
/// <code>
/// prefix/blobs/ID             the bytes
/// prefix/seen/ID              empty; written when somebody asked for the blob, so that its time is when that was
/// prefix/readers/ID/SHA[.SHA] empty, one per grant (<see cref="BlobNames.Grant"/>)
/// prefix/writing/GUID         what is too large to be kept until its name is known (<see cref="S3Upload"/>)
/// </code>
/// Reading and writing keep a part of a blob in memory, whatever its size. Times are the store's own.
/// </summary>
public sealed class S3BlobStore : IBlobStore, IDisposable
{
    /// <summary>A blob that is asked for is written down as seen at most so often in its life, and sweeping is done as rarely.</summary>
    private const int Steps = 24;

    private readonly IAmazonS3 s3;
    private readonly S3Location location;
    private readonly TimeSpan lifetime;
    private readonly TimeProvider time;
    private readonly ILogger logger;
    private readonly int partBytes;
    private long swept = long.MinValue;

    internal S3BlobStore(IAmazonS3 s3, S3Location location, BlobOptions options, TimeProvider? time = null, ILogger<S3BlobStore>? logger = null)
    {
        (this.s3, this.location, lifetime, partBytes) = (s3, location, options.TimeToLive, options.PartBytes);
        this.time = time ?? TimeProvider.System;
        this.logger = logger ?? NullLogger<S3BlobStore>.Instance;
    }

    /// <inheritdoc/>
    public Task<BlobRef> PutAsync(Func<Stream, CancellationToken, Task> write, CancellationToken cancellationToken = default) =>
        PutAsync(write, upload => new HashingStream(upload), isNew: false, cancellationToken);

    /// <inheritdoc/>
    public Task<BlobRef> PutNewAsync(Func<Stream, CancellationToken, Task> write, CancellationToken cancellationToken = default) =>
        PutAsync(write, upload => new ChecksumStream(upload), isNew: true, cancellationToken);

    /// <param name="isNew">Nobody can have a blob of this name: it need not be looked for.</param>
    private Task<BlobRef> PutAsync(Func<Stream, CancellationToken, Task> write, Func<Stream, CountingStream> naming, bool isNew, CancellationToken cancellationToken) => GuardAsync("put", async () =>
    {
        await using var upload = new S3Upload(s3, location.Bucket, $"{location.Prefix}writing/{Guid.NewGuid():n}", partBytes, cancellationToken);
        await using CountingStream stream = naming(upload);
        await write(stream, cancellationToken);
        BlobRef blob = stream.ToBlob();
        if (isNew || !await ExistsAsync(blob.Id, cancellationToken))
        {
            await upload.FinishAsync(Blob(blob.Id), cancellationToken);
            await PutEmptyAsync(Seen(blob.Id), cancellationToken);
        }
        return blob;
    });

    /// <inheritdoc/>
    public Task<Stream?> OpenAsync(string id, CancellationToken cancellationToken = default) => GuardAsync<Stream?>("open", async () =>
        await FindAsync(id, touch: true, cancellationToken) is { } length ? new S3Reading(s3, location.Bucket, Blob(id), id, length) : null);

    /// <inheritdoc/>
    public Task<bool> ExistsAsync(string id, CancellationToken cancellationToken = default) => GuardAsync("look for", async () =>
        await FindAsync(id, touch: true, cancellationToken) is not null);

    /// <inheritdoc/>
    public Task GrantAsync(string id, string owner, string reason = "", CancellationToken cancellationToken = default) => GuardAsync("grant", async () =>
    {
        if (await FindAsync(id, touch: true, cancellationToken) is null) throw QueueErrors.UnknownBlob(id);
        await PutEmptyAsync(Readers(id) + BlobNames.Grant(owner, reason), cancellationToken);
        if (await FindAsync(id, touch: false, cancellationToken) is null) throw QueueErrors.UnknownBlob(id); // released by its last owner at this moment
        return true;
    });

    /// <inheritdoc/>
    public Task<bool> MayReadAsync(string id, string owner, CancellationToken cancellationToken = default) => GuardAsync("look up", async () =>
        BlobNames.IsId(id) && await AnyAsync(Readers(id) + BlobNames.Grant(owner), cancellationToken) && await FindAsync(id, touch: false, cancellationToken) is not null);

    /// <inheritdoc/>
    public Task<bool> ReleaseAsync(string id, string owner, string reason = "", CancellationToken cancellationToken = default) => GuardAsync("release", async () =>
    {
        if (!BlobNames.IsId(id)) return false;
        string grant = Readers(id) + BlobNames.Grant(owner, reason);
        if (await HeadAsync(grant, cancellationToken) is null) return false;
        await DeleteAsync(grant, cancellationToken);
        if (await AnyAsync(Readers(id) + BlobNames.Grant(owner), cancellationToken)) return false;
        if (!await AnyAsync(Readers(id), cancellationToken)) await DeleteBlobAsync(id, cancellationToken);
        return true;
    });

    /// <inheritdoc/>
    /// <remarks>A sweep lists the whole bucket; one that comes too soon after the last does nothing.</remarks>
    public Task<int> SweepAsync(CancellationToken cancellationToken = default) => GuardAsync("sweep", async () =>
    {
        DateTime now = time.GetUtcNow().UtcDateTime;
        long last = Interlocked.Read(ref swept);
        if (last != long.MinValue && now - new DateTime(last, DateTimeKind.Utc) < lifetime / Steps) return 0;
        Interlocked.Exchange(ref swept, now.Ticks);

        // two lists in the order of names, side by side: what was stored, and when it was last asked for
        int count = 0;
        await using IAsyncEnumerator<S3Object> seen = ListAsync(location.Prefix + "seen/", cancellationToken).GetAsyncEnumerator(cancellationToken);
        bool more = await seen.MoveNextAsync();
        await foreach (S3Object blob in ListAsync(location.Prefix + "blobs/", cancellationToken))
        {
            string id = blob.Key[(location.Prefix.Length + "blobs/".Length)..];
            while (more && string.CompareOrdinal(seen.Current.Key, Seen(id)) < 0) more = await seen.MoveNextAsync();
            if (IsLiving(blob.LastModified) || (more && seen.Current.Key == Seen(id) && IsLiving(seen.Current.LastModified))) continue;
            if (await FindAsync(id, touch: false, cancellationToken) is not null) continue; // asked for since it was listed
            await DeleteBlobAsync(id, cancellationToken);
            count++;
        }
        await foreach (S3Object draft in ListAsync(location.Prefix + "writing/", cancellationToken))
            if (!IsLiving(draft.LastModified)) await DeleteAsync(draft.Key, cancellationToken);
        await AbortOldAsync(cancellationToken);
        if (count > 0) Log.BlobsSwept(logger, count);
        return count;
    });

    public void Dispose() => s3.Dispose();

    private string Blob(string id) => $"{location.Prefix}blobs/{id}";

    private string Seen(string id) => $"{location.Prefix}seen/{id}";

    private string Readers(string id) => $"{location.Prefix}readers/{id}/";

    private bool IsLiving(DateTime? at) => at is { } then && then.ToUniversalTime() + lifetime > time.GetUtcNow().UtcDateTime;

    /// <summary>The length of a blob that is there and has not outlived its time; null if there is none.</summary>
    private async Task<long?> FindAsync(string id, bool touch, CancellationToken cancellationToken)
    {
        if (!BlobNames.IsId(id) || await HeadAsync(Blob(id), cancellationToken) is not { } blob) return null;
        DateTime? seen = (await HeadAsync(Seen(id), cancellationToken))?.LastModified;
        if (!IsLiving(blob.LastModified) && !IsLiving(seen)) return null;
        if (touch && (seen is not { } at || at.ToUniversalTime() + lifetime / Steps < time.GetUtcNow().UtcDateTime)) await PutEmptyAsync(Seen(id), cancellationToken);
        return blob.ContentLength;
    }

    private async Task<GetObjectMetadataResponse?> HeadAsync(string key, CancellationToken cancellationToken)
    {
        try
        {
            return await s3.GetObjectMetadataAsync(location.Bucket, key, cancellationToken);
        }
        catch (AmazonS3Exception missing) when (missing.StatusCode == HttpStatusCode.NotFound)
        {
            return null;
        }
    }

    private async Task PutEmptyAsync(string key, CancellationToken cancellationToken) => await s3.PutObjectAsync(
        new PutObjectRequest { BucketName = location.Bucket, Key = key, InputStream = Stream.Null, UseChunkEncoding = false }, cancellationToken);

    private async Task DeleteAsync(string key, CancellationToken cancellationToken) => await s3.DeleteObjectAsync(location.Bucket, key, cancellationToken);

    /// <summary>The bytes first: without them nobody is told that it is there.</summary>
    private async Task DeleteBlobAsync(string id, CancellationToken cancellationToken)
    {
        await DeleteAsync(Blob(id), cancellationToken);
        await foreach (S3Object grant in ListAsync(Readers(id), cancellationToken)) await DeleteAsync(grant.Key, cancellationToken);
        await DeleteAsync(Seen(id), cancellationToken);
    }

    private async Task<bool> AnyAsync(string prefix, CancellationToken cancellationToken) =>
        (await s3.ListObjectsV2Async(new ListObjectsV2Request { BucketName = location.Bucket, Prefix = prefix, MaxKeys = 1 }, cancellationToken)).S3Objects is { Count: > 0 };

    private async IAsyncEnumerable<S3Object> ListAsync(string prefix, [System.Runtime.CompilerServices.EnumeratorCancellation] CancellationToken cancellationToken)
    {
        var request = new ListObjectsV2Request { BucketName = location.Bucket, Prefix = prefix };
        while (true)
        {
            ListObjectsV2Response page = await s3.ListObjectsV2Async(request, cancellationToken);
            foreach (S3Object one in page.S3Objects ?? []) yield return one;
            if (page.IsTruncated != true) yield break;
            request.ContinuationToken = page.NextContinuationToken;
        }
    }

    /// <summary>Parts of uploads whose process died are paid for until somebody ends them.</summary>
    private async Task AbortOldAsync(CancellationToken cancellationToken)
    {
        ListMultipartUploadsResponse open = await s3.ListMultipartUploadsAsync(
            new ListMultipartUploadsRequest { BucketName = location.Bucket, Prefix = location.Prefix + "writing/" }, cancellationToken);
        foreach (MultipartUpload upload in open.MultipartUploads ?? [])
            if (!IsLiving(upload.Initiated))
                await s3.AbortMultipartUploadAsync(new AbortMultipartUploadRequest { BucketName = location.Bucket, Key = upload.Key, UploadId = upload.UploadId }, cancellationToken);
    }

    /// <summary>What the store does not answer after the SDK's own tries is UNAVAILABLE, and may be tried again.</summary>
    private static async Task<T> GuardAsync<T>(string operation, Func<Task<T>> call)
    {
        try
        {
            return await call();
        }
        catch (Exception failure) when (failure is AmazonServiceException or AmazonClientException or HttpRequestException or WebException)
        {
            throw QueueErrors.StoreUnavailable(operation, failure);
        }
    }
}
